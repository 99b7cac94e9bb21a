// The operations about the relay itself: its configuration, its health, its backup, and who may call this
// API.

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "config/load.hpp"
#include "server/admin/customers.hpp"
#include "server/admin/handlers.hpp"
#include "server/admin/secrets.hpp"
#include "server/admin/shapes.hpp"
#include "server/assets/file_thread.hpp"
#include "server/await_store.hpp"
#include "server/clock.hpp"
#include "storage/sqlite/backup.hpp"

namespace relay::admin {
namespace {

constexpr std::size_t part_bytes = 256 * 1024;

// A file without a name: its space is free when it is closed.
class nameless_file {
 public:
  explicit nameless_file(int descriptor) : descriptor_(descriptor) {}
  ~nameless_file() { ::close(descriptor_); }
  nameless_file(const nameless_file&) = delete;
  nameless_file& operator=(const nameless_file&) = delete;

  std::uint64_t size() const {
    struct stat s{};
    return ::fstat(descriptor_, &s) == 0 ? static_cast<std::uint64_t>(s.st_size) : 0;
  }
  // Empty: the end, or it cannot be read.
  std::string part(std::uint64_t from) const {
    std::string out(part_bytes, '\0');
    const ssize_t n = ::pread(descriptor_, out.data(), out.size(), static_cast<off_t>(from));
    out.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
    return out;
  }

 private:
  const int descriptor_;
};

// Beside the database, if there is space for it. Blocks.
result<std::unique_ptr<nameless_file>> copy_of(const std::string& database, std::int64_t min_free) {
  const std::string name = database + ".download";
  std::error_code ec, none;
  auto size = std::filesystem::file_size(database, ec);
  const auto log = std::filesystem::file_size(database + "-wal", none);
  if (!none) size += log;
  const auto folder = std::filesystem::absolute(name).parent_path();
  const auto free = ec ? 0 : std::filesystem::space(folder, ec).available;
  if (ec)
    return fail(errc::storage_unavailable, "cannot see whether there is space for a copy: " + ec.message());
  if (free < size + static_cast<std::uintmax_t>(min_free))
    return fail(errc::disk_full, "there is no space for a copy beside the database: " + std::to_string(free) +
                                     " bytes are free, and the copy has up to " + std::to_string(size));
  if (auto made = sqlite::backup(database, name, sqlite::replace::yes); !made)
    return std::unexpected(std::move(made.error()));
  const int descriptor = ::open(name.c_str(), O_RDONLY | O_CLOEXEC);
  ::unlink(name.c_str());
  if (descriptor < 0) return fail(errc::storage_unavailable, "the copy " + name + " cannot be read");
  return std::make_unique<nameless_file>(descriptor);
}

// A response without all of it ends the connection: its length was said.
awaitable<> send_file(file_thread& thread, std::shared_ptr<nameless_file> file, std::uint64_t size,
                      http::body_stream& to) {
  for (std::uint64_t sent = 0; sent < size;) {
    auto read = [file, sent] { return file->part(sent); };
    const std::string part = co_await thread.run(std::move(read));
    if (part.empty()) {
      to.fail();
      co_return;
    }
    if (!co_await to.send(part)) co_return;
    sent += part.size();
  }
}

json::object line_of(const admin_token& t) {
  return {{"name", json::string(t.name)},
          {"role", json::string(name_of(t.role))},
          {"hint", json::string(t.hint)},
          {"created_at", time_or_null(t.created_at)},
          {"expires_at", time_or_null(t.expires_at)},
          {"revoked_at", time_or_null(t.revoked_at)}};
}

// What is known in memory follows what is on disk.
awaitable<> follow_disk(const admin_context& in) {
  auto all = co_await from_store(in.tasks, &store::admin_tokens);
  if (all) in.operators.set(std::move(*all));
}

json::value as_json(const std::string& text) {
  return text.empty() ? json::value(nullptr) : parse_lenient(text).value_or(nullptr);
}

std::unexpected<error> none_runs() {
  return fail(errc::upstream_unavailable, "no relay runs with this database");
}

}  // namespace

awaitable<admin_result> who_am_i(admin_call& c) {
  co_return admin_response{{{"name", json::string(c.by.name)}, {"role", json::string(name_of(c.by.role))}}};
}

awaitable<admin_result> get_configuration(admin_call& c) {
  co_return admin_response{{{"toml", json::string(print_config(c.in.settings))}}};
}

awaitable<admin_result> get_health(admin_call& c) {
  if (!c.in.state) co_return none_runs();
  co_return admin_response{as_json(c.in.state())};
}

awaitable<admin_result> reload(admin_call& c) {
  if (!c.in.reload)
    co_return fail(errc::upstream_unavailable,
                   "no relay runs with this database; one that starts reads its configuration");
  const auto done = co_await c.in.reload();
  if (!done) {
    error why = done.error();
    if (why.code == errc::invalid_request) why.code = errc::conflict;  // the file is wrong, not the request
    co_return std::unexpected(std::move(why));
  }
  json::object out{{"changes", as_array(*done)}};
  const auto noted = co_await from_store(c.in.tasks, &store::note_change, c.audit("configuration", {}, out));
  if (!noted) co_return std::unexpected(noted.error());
  co_return admin_response{std::move(out)};
}

awaitable<admin_result> back_up(admin_call& c) {
  if (c.in.files == nullptr) co_return none_runs();
  auto work = [path = c.in.settings.storage.path, min_free = c.in.settings.storage.min_free_bytes] {
    return copy_of(path, min_free);
  };
  auto made = co_await c.in.files->run(std::move(work));
  if (!made) co_return std::unexpected(std::move(made.error()));
  // Its blocks are given back where nobody waits for it.
  const auto give_back = [thread = std::weak_ptr(c.in.files)](nameless_file* f) {
    if (const auto there = thread.lock())
      there->post([f] { delete f; });
    else
      delete f;
  };
  std::shared_ptr<nameless_file> file(made->release(), give_back);
  const std::uint64_t size = file->size();
  const auto why = c.audit("database", {}, {{"bytes", size}});
  const auto noted = co_await from_store(c.in.tasks, &store::note_change, why);
  if (!noted) co_return std::unexpected(noted.error());
  admin_response out;
  out.is_other = true;
  out.other.content_type = "application/vnd.sqlite3";
  out.other.add_header("Content-Disposition", "attachment; filename=\"luma-relay.db\"");
  out.other.stream_bytes = size;
  out.other.stream = [thread = c.in.files.get(), file = std::move(file), size](http::body_stream& to) {
    return send_file(*thread, file, size, to);
  };
  co_return out;
}

void remove_unfinished_copies(const std::string& database) {
  ::unlink((database + ".download").c_str());
  ::unlink((database + ".download.unfinished").c_str());
}

awaitable<admin_result> list_audit(admin_call& c) {
  const std::int64_t limit = c.number("limit", shapes::default_items);
  const std::int64_t before = c.number("cursor", std::numeric_limits<std::int64_t>::max());
  const auto rows = co_await from_store(c.in.tasks, &store::audit, before, limit);
  if (!rows) co_return std::unexpected(rows.error());
  json::array items;
  for (const audit_row& r : *rows) {
    const audit_entry& e = r.entry;
    items.emplace_back(json::object{{"id", r.id},
                                    {"at", time_or_null(e.at)},
                                    {"made_by", json::string(e.made_by)},
                                    {"operation", json::string(e.operation)},
                                    {"target", json::string(e.target)},
                                    {"before", as_json(e.before)},
                                    {"after", as_json(e.after)},
                                    {"request_id", json::string(e.request_id)}});
  }
  const bool may_have_more = std::ssize(*rows) == limit;
  json::value next = may_have_more ? json::value(json::string(std::to_string(rows->back().id))) : nullptr;
  co_return admin_response{{{"items", std::move(items)}, {"next", std::move(next)}}};
}

awaitable<admin_result> list_admin_tokens(admin_call& c) {
  const auto all = co_await from_store(c.in.tasks, &store::admin_tokens);
  if (!all) co_return std::unexpected(all.error());
  json::array items;
  for (const admin_token& t : *all) items.emplace_back(line_of(t));
  co_return admin_response{{{"items", std::move(items)}}};
}

// Only its digest is kept; the text leaves here once, in this response.
awaitable<admin_result> create_admin_token(admin_call& c) {
  const made_secret secret = make_secret(admin_token_prefix);
  admin_token t;
  t.name = c.text("name");
  t.role = admin_role_from(c.text("role")).value_or(admin_role::viewer);  // it was checked
  t.digest = secret.digest;
  t.hint = secret.hint;
  t.created_at = now();
  if (const std::int64_t s = c.number("expires_in_s", 0); s > 0)
    t.expires_at = t.created_at + std::chrono::seconds(s);
  const auto why = c.audit("admin-token/" + t.name, {}, line_of(t));
  const auto made = co_await from_store(c.in.tasks, &store::insert_admin_token, std::move(t), why);
  if (!made) co_return std::unexpected(made.error());
  co_await follow_disk(c.in);
  admin_response out{line_of(*made)};
  out.body["token"] = json::string(secret.text);
  co_return out;
}

awaitable<admin_result> revoke_admin_token(admin_call& c) {
  const auto all = co_await from_store(c.in.tasks, &store::admin_tokens);
  if (!all) co_return std::unexpected(all.error());
  const auto found =
      std::ranges::find_if(*all, [&c](const admin_token& t) { return t.name == c.first && !t.revoked(); });
  if (found == all->end())
    co_return fail(errc::not_found, "there is no admin token \"" + c.first + "\" in force");
  admin_token after = *found;
  after.revoked_at = now();
  const auto why = c.audit("admin-token/" + c.first, line_of(*found), line_of(after));
  const auto gone =
      co_await from_store(c.in.tasks, &store::revoke_admin_token, found->id, after.revoked_at, why);
  co_await follow_disk(c.in);
  if (!gone) co_return std::unexpected(gone.error());
  co_return admin_response{line_of(*gone)};
}

}  // namespace relay::admin
