#include "server/assets/assets.hpp"

#include <fcntl.h>
#include <spdlog/logger.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstring>

#include "common/base/fault_point.hpp"
#include "server/await_store.hpp"
#include "server/clock.hpp"
#include "server/disk.hpp"
#include "server/entropy.hpp"

namespace relay {
namespace {

constexpr std::chrono::minutes look_again{1};  // at what is in use, or whose job has not ended
constexpr std::chrono::minutes permit_lasts{15};

std::unexpected<error> too_many(std::string_view what) {
  error e;
  e.code = errc::overloaded;
  e.retry_after_seconds = 2;
  e.message.text =
      "The relay is " + std::string(what) + " too many files at once; try again in a few seconds";
  e.log.text = e.message.text;
  return std::unexpected(std::move(e));
}

std::string size_text(std::int64_t bytes) {
  constexpr std::int64_t mib = std::int64_t{1} << 20;
  return bytes < 10 * mib ? std::to_string(bytes >> 10) + " KiB" : std::to_string(bytes / mib) + " MiB";
}

std::string without_slash(std::string url) {
  while (url.ends_with('/')) url.pop_back();
  return url;
}

std::string new_permit_key() {
  std::string key(32, '\0');
  fill_random(std::span(reinterpret_cast<unsigned char*>(key.data()), key.size()));
  return key;
}

}  // namespace

// ---- room

bool asset_room::take(std::int64_t owner, std::int64_t bytes) {
  if (bytes > in_all_ - used_ || bytes > of_one_ - used_by(owner)) return false;
  hold(owner, bytes);
  return true;
}

void asset_room::hold(std::int64_t owner, std::int64_t bytes) {
  used_ += bytes;
  by_owner_[owner] += bytes;
}

void asset_room::give_back(std::int64_t owner, std::int64_t bytes) {
  if (bytes == 0) return;
  used_ -= bytes;
  const auto found = by_owner_.find(owner);
  found->second -= bytes;
  if (found->second == 0) by_owner_.erase(found);
}

std::int64_t asset_room::used_by(std::int64_t owner) const {
  const auto found = by_owner_.find(owner);
  return found != by_owner_.end() ? found->second : 0;
}

// ---- what is stored

assets::assets(asio::io_context& loop, store& s, const assets_config& c, std::string public_url,
               std::int64_t min_free, spdlog::logger& log)
    : store_(s),
      config_(c),
      base_(without_slash(std::move(public_url))),
      prefix_(base_ + "/assets/"),
      min_free_(min_free),
      log_(log),
      files_(c.path),
      room_(c.max_bytes, c.max_bytes_per_account),
      permit_key_(new_permit_key()),
      pause_(loop.get_executor()),
      thread_(loop) {}

assets::~assets() = default;

result<void> assets::load() {
  if (auto opened = files_.open(); !opened) return opened;
  // Twice as much as new jobs need: files are refused before these.
  reserve_ = 2 * disk_limits_for(config_.path + "/", min_free_, 0).min_free;
  auto found = files_.scan();
  if (!found) return std::unexpected(std::move(found.error()));
  for (stored_asset& a : *found) {
    const timestamp due = a.received_at + config_.keep;
    add(a.name.id, {a.owner, a.name.type, a.bytes, due, std::move(a.tasks)});
  }
  if (!found->empty())
    log_.info("{} files of clients in {}, {}", stored_.size(), config_.path, size_text(bytes()));
  return {};
}

// More than there is room for may be there: the limits were lowered. Then nothing new comes in for a while.
void assets::add(std::string id, stored s) {
  const auto [e, is_new] = stored_.try_emplace(std::move(id), std::move(s));
  if (!is_new) return;
  room_.hold(e->second.owner, asset_room::taken_by(e->second.bytes));
  by_due_.emplace(e->second.due, e->first);
  if (by_due_.begin()->second == e->first) pause_.cancel();
}

void assets::set_due(entry e, timestamp at) {
  by_due_.erase({e->second.due, e->first});
  e->second.due = at;
  by_due_.emplace(at, e->first);
}

void assets::erase(entry e) {
  room_.give_back(e->second.owner, asset_room::taken_by(e->second.bytes));
  by_due_.erase({e->second.due, e->first});
  // Its marks are nothing without it: after a crash in between they are deleted at the next start.
  thread_.post([this, id = e->first, s = e->second] {
    files_.remove(s.owner, {id, s.type});
    for (const std::string& task : s.tasks) files_.unmark(s.owner, id, task);
  });
  stored_.erase(e);
}

awaitable<> assets::run() {
  while (!stopped_) {
    const timestamp time = now();
    if (!by_due_.empty() && by_due_.begin()->first <= time) {
      co_await look_at(by_due_.begin()->second);
      continue;
    }
    const timestamp::duration wait = by_due_.empty() ? look_again : by_due_.begin()->first - time;
    pause_.expires_after(std::min<timestamp::duration>(wait, look_again));
    co_await pause_.async_wait(as_result);
  }
}

void assets::stop() {
  stopped_ = true;
  pause_.cancel();
}

// Its time is over, unless a job still needs it.
awaitable<> assets::look_at(std::string id) {
  const timestamp time = now();
  const std::uint64_t uses = stored_.find(id)->second.uses;
  const auto needed_until = co_await last_need(id, time);
  const auto e = stored_.find(id);
  // A job may have been given it meanwhile.
  if (!needed_until || e->second.in_use > 0 || e->second.uses != uses) {
    set_due(e, time + look_again);
  } else if (*needed_until > time) {
    set_due(e, *needed_until);
  } else {
    erase(e);
  }
}

// Until when the jobs that were given its address need it; errors: those of store::load.
awaitable<result<timestamp>> assets::last_need(const std::string& id, timestamp time) {
  timestamp out = never;
  std::vector<std::string> over;
  const std::vector<std::string> tasks = stored_.find(id)->second.tasks;
  for (const std::string& task_id : tasks) {
    const auto t = co_await load_task(store_, task_id);
    if (!t) co_return std::unexpected(t.error());
    if (*t && !is_terminal((*t)->state)) co_return time + look_again;
    const timestamp until = *t ? (*t)->finished_at + config_.keep : never;
    if (until <= time) over.push_back(task_id);
    out = std::max(out, until);
  }
  // What many jobs were given, one after the other, is known to the last of them.
  const auto e = stored_.find(id);
  if (out > time && !over.empty()) {
    std::erase_if(e->second.tasks,
                  [&over](const std::string& t) { return std::ranges::find(over, t) != over.end(); });
    thread_.post([this, id, owner = e->second.owner, over = std::move(over)] {
      for (const std::string& task : over) files_.unmark(owner, id, task);
    });
  }
  co_return out;
}

// ---- sending

awaitable<result<open_asset>> assets::open(asset_name name) {
  const auto missing = [] {
    return fail(errc::not_found, "There is no such file here, or its time is over");
  };
  const auto e = stored_.find(name.id);
  if (e == stored_.end()) co_return missing();
  const std::int64_t owner = e->second.owner;
  name.type = e->second.type;
  // One client's files do not take every place.
  if (sending_ >= most_open_assets || sending_by_[owner] >= most_open_of_one) co_return too_many("sending");
  ++sending_;
  ++sending_by_[owner];
  const auto close = [this, owner](owned_fd* fd) {
    --sending_;
    if (--sending_by_[owner] == 0) sending_by_.erase(owner);
    delete fd;
  };
  const std::shared_ptr<owned_fd> fd(new owned_fd, close);
  struct opened {
    owned_fd file;
    std::int64_t bytes = -1;
  };
  const auto work = [path = files_.path_of(owner, name)] {
    opened out{owned_fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC))};
    struct stat info{};
    if (out.file && ::fstat(out.file.get(), &info) == 0) out.bytes = info.st_size;
    return out;
  };
  opened found = co_await thread_.run(work);
  if (found.bytes < 0) co_return missing();
  *fd = std::move(found.file);
  co_return open_asset{fd, name.type, static_cast<std::uint64_t>(found.bytes)};
}

awaitable<result<std::string>> assets::read(const open_asset& from, std::uint64_t at, std::size_t most) {
  const auto work = [fd = from.fd->get(), at, most] {
    std::string out;
    out.resize_and_overwrite(most, [&](char* to, std::size_t size) {
      const ssize_t n = ::pread(fd, to, size, static_cast<off_t>(at));
      return n > 0 ? static_cast<std::size_t>(n) : 0;
    });
    return out;
  };
  auto bytes = co_await thread_.run(work);
  if (bytes.empty()) co_return fail(errc::internal, "The file could not be read");
  co_return bytes;
}

// ---- addresses

std::string assets::url_of(const asset_name& name) const {
  return prefix_ + name.text();
}

std::string assets::upload_url_of(const asset_name& name, std::string_view permit) const {
  return base_ + "/uploads/" + name.text() + "/" + std::string(permit);
}

std::optional<asset_name> assets::name_in(std::string_view url) const {
  if (!url.starts_with(prefix_)) return std::nullopt;
  return parse_asset_name(url.substr(prefix_.size()));
}

std::string assets::permit(std::int64_t owner, const asset_name& name, timestamp time) const {
  const std::string text = std::to_string(owner) + "-" + std::to_string(to_unix(time + permit_lasts));
  return text + "-" + hex_of(hmac_sha256(permit_key_, name.text() + " " + text));
}

std::optional<std::int64_t> assets::permitted(const asset_name& name, std::string_view word,
                                              timestamp time) const {
  const auto mac = word.rfind('-');
  const auto middle = word.find('-');
  if (mac == word.npos || middle == mac) return std::nullopt;
  const std::string text(word.substr(0, mac));
  if (!same_text(hex_of(hmac_sha256(permit_key_, name.text() + " " + text)), word.substr(mac + 1)))
    return std::nullopt;
  std::int64_t owner = 0;
  std::int64_t until = 0;
  std::from_chars(text.data(), text.data() + middle, owner);
  std::from_chars(text.data() + middle + 1, text.data() + text.size(), until);
  return to_unix(time) <= until ? std::optional(owner) : std::nullopt;
}

// ---- receiving

std::shared_ptr<request_files> assets::receive(std::int64_t owner, std::string id) {
  return std::make_shared<request_files>(*this, owner, std::move(id));
}

request_files::~request_files() {
  of_.receiving_ -= incoming_.size();
  if (counted_ > 0 && (of_.receiving_by_[owner_] -= counted_) == 0) of_.receiving_by_.erase(owner_);
  of_.room_.give_back(owner_, reserved_);
  for (const std::string& id : stored_) --of_.stored_.find(id)->second.in_use;
  if (incoming_.empty() && !on_disk_) return;
  // What was not kept goes; what was kept for a job that never came to be, too.
  struct put {
    std::int64_t owner;
    asset_name name;
  };
  std::vector<put> files;
  std::vector<std::pair<std::int64_t, std::string>> marks;
  if (on_disk_) {
    for (const incoming_file* f : wanted_) files.push_back({owner_, {f->id(), *f->type()}});
    for (const std::string& id : stored_) marks.emplace_back(of_.stored_.find(id)->second.owner, id);
  }
  of_.thread_.post([&all = of_.files_, incoming = std::move(incoming_), files = std::move(files),
                    marks = std::move(marks), task = task_id_] {
    for (const put& f : files) {
      all.remove(f.owner, f.name);
      if (!task.empty()) all.unmark(f.owner, f.name.id, task);
    }
    for (const auto& [owner, id] : marks) all.unmark(owner, id, task);
  });
}

result<void> request_files::begin() {
  if (incoming_.size() == most_files)
    return fail(errc::invalid_request, "body: holds more than " + std::to_string(most_files) + " files");
  if (of_.receiving_ >= most_open_assets && !full_) {
    if (auto went_on = no_room(too_many("receiving").error()); !went_on) return went_on;
  }
  std::string id = id_.empty() || !incoming_.empty() ? random_word() : id_;
  if (full_) {
    incoming_.push_back(incoming_file::unkept(std::move(id), of_.config_.max_file_bytes));
    ++of_.receiving_;
    return {};
  }
  auto begun = incoming_file::begin(of_.files_.incoming(), std::move(id), of_.config_.max_file_bytes);
  if (!begun) {
    if (begun.error().code != errc::assets_full) return not_stored(std::move(begun.error()));
    if (auto went_on = no_room(std::move(begun.error())); !went_on) return went_on;
    return begin();
  }
  incoming_.push_back(std::move(*begun));
  ++of_.receiving_;
  return {};
}

result<void> request_files::write(std::string_view bytes) {
  auto written = full_ ? incoming_.back()->look_at(bytes) : incoming_.back()->write(bytes);
  if (written) return written;
  error& e = written.error();
  if (e.code == errc::assets_full) return no_room(std::move(e));
  return e.code == errc::storage_unavailable ? not_stored(std::move(e)) : std::unexpected(std::move(e));
}

// The one place that tells the operator of a disk that does not take a file.
std::unexpected<error> request_files::not_stored(error e) const {
  of_.log_.error("a file of token {} was not stored: {}", owner_, e.log.text);
  return std::unexpected(std::move(e));
}

result<void> request_files::no_room(error e) {
  of_.log_.warn("a file of token {} finds no room: {}", owner_, e.log.text);
  if (!goes_on_) return std::unexpected(std::move(e));
  full_ = std::move(e);
  return {};
}

result<std::string> request_files::end() {
  incoming_.back()->end();
  return incoming_.back()->stands_for();
}

result<void> request_files::reserve(std::int64_t bytes) {
  if (full_) return {};
  const auto own_open = of_.receiving_by_.find(owner_);
  if (incoming_.empty() && own_open != of_.receiving_by_.end() && own_open->second >= most_open_of_one)
    return no_room(too_many("receiving").error());
  const auto full = [this](std::string text, std::string log) {
    error e;
    e.code = errc::assets_full;
    e.retry_after_seconds = 60;
    e.message.text = std::move(text);
    e.log.text = std::move(log);
    return no_room(std::move(e));
  };
  asset_room& room = of_.room_;
  const auto free = of_.files_.free_bytes();
  const bool disk_has = of_.reserve_ == 0 || !free || *free - bytes >= of_.reserve_;
  if (disk_has && room.take(owner_, bytes)) {
    reserved_ += bytes;
    return {};
  }
  const std::int64_t own = room.used_by(owner_);
  if (disk_has && bytes > room.of_one() - own) {
    return full("The files of this account take " + size_text(own) + " of its " + size_text(room.of_one()) +
                    "; nothing was submitted. Each goes " + std::to_string(of_.config_.keep.count() / 1000) +
                    " s after its last job has ended",
                "assets.max_bytes_per_account is reached by account " + std::to_string(owner_));
  }
  return full(
      "The relay has no room for files now; nothing was submitted. Try again later",
      disk_has ? "assets.max_bytes is reached: " + size_text(room.used()) + " of " + size_text(room.in_all())
               : "the disk of " + of_.config_.path + " has " + size_text(*free) +
                     " left, and storage.min_free_bytes stays free");
}

void request_files::count_open() {
  if (counted_ == incoming_.size()) return;
  of_.receiving_by_[owner_] += incoming_.size() - counted_;
  counted_ = incoming_.size();
}

void request_files::settle() {
  count_open();
  std::int64_t needed = 0;
  for (const auto& f : incoming_) needed += f->bytes();
  if (needed >= reserved_) return;
  of_.room_.give_back(owner_, reserved_ - needed);
  reserved_ = needed;
}

const incoming_file* request_files::find(std::string_view stands_for) const {
  const auto found =
      std::ranges::find_if(incoming_, [&](const auto& f) { return f->stands_for() == stands_for; });
  return found != incoming_.end() ? found->get() : nullptr;
}

std::string request_files::url_of(const incoming_file& f) const {
  return of_.url_of({f.id(), *f.type()});
}

void request_files::want(const incoming_file& f) {
  if (std::ranges::find(wanted_, &f) != wanted_.end()) return;
  const auto own = std::ranges::find_if(incoming_, [&](const auto& i) { return i.get() == &f; });
  wanted_.push_back(own->get());
}

bool request_files::all_wanted() const {
  return std::ranges::all_of(incoming_, [this](const auto& f) {
    return std::ranges::any_of(wanted_,
                               [&f](const incoming_file* w) { return w->stands_for() == f->stands_for(); });
  });
}

bool request_files::want_stored(const asset_name& name) {
  const auto e = of_.stored_.find(name.id);
  if (e == of_.stored_.end()) return false;
  if (std::ranges::find(stored_, name.id) != stored_.end()) return true;
  ++e->second.in_use;
  ++e->second.uses;
  stored_.push_back(name.id);
  return true;
}

awaitable<result<void>> request_files::keep(std::string task_id) {
  if (full_) co_return std::unexpected(*full_);
  task_id_ = std::move(task_id);
  // 1. What they take, and not what the text took that they came in.
  std::int64_t needed = 0;
  for (const incoming_file* f : wanted_) {
    if (of_.has(f->id())) co_return fail(errc::conflict, "There is a file at this address already");
    needed += asset_room::taken_by(f->bytes());
  }
  if (needed > reserved_) {
    if (auto more = reserve(needed - reserved_); !more) co_return more;
    if (full_) co_return std::unexpected(*full_);
  } else {
    of_.room_.give_back(owner_, reserved_ - needed);
    reserved_ = needed;
  }
  // 2. On disk, each with the job that was given its address.
  std::vector<std::pair<std::int64_t, std::string>> marks;
  marks.reserve(stored_.size());
  for (const std::string& id : stored_) marks.emplace_back(of_.stored_.find(id)->second.owner, id);
  on_disk_ = true;
  const auto work = [this, marks = std::move(marks)] { return put_all(marks); };
  auto put = co_await of_.thread_.run(work);
  if (!put) co_return not_stored(std::move(put.error()));
  co_return put;
}

result<void> request_files::put_all(const std::vector<std::pair<std::int64_t, std::string>>& marks) {
  std::set<std::int64_t> folders;
  for (incoming_file* f : wanted_) {
    if (auto put = of_.files_.put(owner_, *f); !put) return put;
    folders.insert(owner_);
    if (task_id_.empty()) continue;
    if (auto marked = of_.files_.mark(owner_, f->id(), task_id_); !marked) return marked;
  }
  for (const auto& [owner, id] : marks) {
    if (auto marked = of_.files_.mark(owner, id, task_id_); !marked) return marked;
    folders.insert(owner);
  }
  for (const std::int64_t owner : folders) {
    if (auto synced = of_.files_.sync(owner); !synced) return synced;
  }
  fault_point("files kept, no job");
  return {};
}

void request_files::done() {
  const std::vector<std::string> tasks =
      task_id_.empty() ? std::vector<std::string>{} : std::vector{task_id_};
  of_.room_.give_back(owner_, std::exchange(reserved_, 0));
  for (const incoming_file* f : wanted_)
    of_.add(f->id(), {owner_, *f->type(), f->bytes(), now() + of_.config_.keep, tasks});
  for (const std::string& id : stored_) {
    auto& s = of_.stored_.find(id)->second;
    if (!task_id_.empty()) s.tasks.push_back(task_id_);
    --s.in_use;
  }
  wanted_.clear();
  stored_.clear();
  on_disk_ = false;
}

}  // namespace relay
