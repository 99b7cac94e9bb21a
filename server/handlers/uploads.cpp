// Files that are uploaded by themselves, and their way to an upstream: three forms of upload that clients
// use, and the address at which a file is fetched.

#include <spdlog/logger.h>

#include <algorithm>

#include "common/base/ascii.hpp"
#include "common/base/files_in_json.hpp"
#include "common/base/multipart.hpp"
#include "common/base/problems.hpp"
#include "common/base/url.hpp"
#include "server/assets/receiving.hpp"
#include "server/clock.hpp"
#include "server/entropy.hpp"
#include "server/handlers/body.hpp"
#include "server/handlers/files.hpp"
#include "server/handlers/handlers.hpp"
#include "server/http/byte_range.hpp"

namespace relay::handlers {
namespace {

constexpr std::size_t sent_at_once = 64 * 1024;

std::unexpected<error> takes_none() {
  return fail(
      errc::invalid_request,
      "This relay takes no files: its operator has to set server.public_url, where upstreams fetch them. "
      "Send pictures as http or https URLs");
}

// The body is the file, and nothing else.
bool is_plain_file(std::string_view content_type) {
  const std::string type = lower(trim(content_type.substr(0, content_type.find(';'))));
  return type.starts_with("image/") || type.starts_with("video/") || type == "application/octet-stream";
}

// A form of fields, as in a query.
bool is_query(const http::request& r) {
  return lower(r.header("Content-Type")).starts_with("application/x-www-form-urlencoded");
}

// The sink for a body of this type: a form with a file in it, a file, or JSON.
std::shared_ptr<file_sink> sink_for_upload(handler_context& in, const http::request& r, const account& who) {
  auto files = in.files->receive(who.id);
  if (const auto boundary = multipart_boundary(r.header("Content-Type")))
    return multipart_sink(std::move(files), *boundary);
  if (is_plain_file(r.header("Content-Type"))) return plain_sink(std::move(files));
  return json_sink(std::move(files), static_cast<std::size_t>(in.settings.server.max_body_bytes));
}

http::body_plan plan_for(handler_context& in, std::shared_ptr<file_sink> sink, std::int64_t most) {
  http::body_plan out;
  out.most = static_cast<std::uint64_t>(most);
  out.within = in.files->limits().receive_timeout;
  out.sink = std::move(sink);
  return out;
}

// A body that came with its head goes the way of all others.
awaitable<result<std::string>> through(file_sink& sink, std::string_view body) {
  if (!body.empty()) {
    const auto taken = co_await sink.take(body);
    if (!taken) co_return std::unexpected(taken.error());
  }
  co_return co_await sink.finish();
}

struct uploaded {
  std::shared_ptr<request_files> files;
  std::string text;  // what the files left of the body
};
awaitable<result<uploaded>> receive_whole(call& c) {
  if (auto files = files_of(c.http)) co_return uploaded{std::move(files), std::string(c.http.body)};
  const auto sink = sink_for_upload(c.in, c.http, c.who);
  auto text = co_await through(*sink, c.http.body);
  if (!text) co_return std::unexpected(std::move(text.error()));
  co_return uploaded{sink->files(), std::move(*text)};
}

// The web app's answer to an upload, as Luma-API passes it on.
http::reply upload_reply(std::string_view id, std::string_view put_to, std::string_view address) {
  // Some clients know the two addresses by other names.
  return http::json_reply(200, {{"id", json::string(id)},
                                {"presigned_url", json::string(put_to)},
                                {"public_url", json::string(address)},
                                {"upload_url", json::string(put_to)},
                                {"url", json::string(address)}});
}

awaitable<handled> store_file(call& c, request_files& files, std::string_view text,
                              std::vector<std::string> where) {
  const auto taken = co_await take_file(files, text);
  if (!taken) co_return std::unexpected(taken.error());
  problems wrong;
  const json::value shown = json::string(text.substr(0, 200));
  if (taken->file == nullptr)
    wrong.wrong_type(std::move(where), "value_error", taken->problem, &shown);
  else if (!taken->file->type())
    wrong.wrong_type(std::move(where), "value_error", std::string(taken_types()), &shown);
  if (!wrong.none()) co_return std::unexpected(std::move(wrong).to_error());
  const incoming_file& f = *taken->file;
  files.want(f);
  std::string no_task;
  const auto kept = co_await files.keep(std::move(no_task));
  if (!kept) co_return std::unexpected(kept.error());
  files.done();
  const std::string address = files.url_of(f);
  c.in.log.info("request {}: stored a file of {} bytes, {}", c.http.id, f.bytes(), media_type_of(*f.type()));
  co_return upload_reply(f.id(), address, address);
}

std::string_view suffix_in(std::string_view file_name) {
  const auto dot = file_name.rfind('.');
  return dot == file_name.npos ? std::string_view{} : file_name.substr(dot + 1);
}

// What a client says it will upload: by the media type, else by the name of the file; JPEG, when it says
// nothing.
file_type announced(std::string_view media_type, std::string_view file_name) {
  if (const auto t = type_from_media_type(media_type)) return *t;
  const std::string suffix = lower(suffix_in(file_name));
  if (const auto t = type_from_suffix(suffix)) return *t;
  return file_type::jpeg;
}

struct to_put {
  asset_name name;
  std::string put_to, address;
};
// The address of a file that is still to come, and the one that it is to be put to.
to_put place_for(const call& c, file_type type) {
  to_put out{{random_word(), type}, {}, {}};
  out.address = c.in.files->url_of(out.name);
  out.put_to = c.in.files->upload_url_of(out.name, c.in.files->permit(c.who.id, out.name, now()));
  return out;
}

// The file outlives it.
awaitable<> send_file(assets& files, const open_asset& file, http::byte_range range, http::body_stream& to) {
  std::uint64_t at = range.first;
  std::uint64_t left = range.bytes;
  const auto until = steady_clock::now() + files.limits().receive_timeout;
  while (left > 0) {
    if (steady_clock::now() > until) co_return to.fail();  // a place is no client's for good
    const auto part = co_await files.read(file, at, std::min<std::uint64_t>(left, sent_at_once));
    if (!part) co_return to.fail();
    if (!co_await to.send(*part)) co_return;
    at += part->size();
    left -= part->size();
  }
}

http::reply put_place(const call& c, std::string_view query) {
  const auto name = http::query_value(query, "filename");
  const to_put place = place_for(c, announced({}, name.value_or("")));
  return upload_reply(place.name.id, place.put_to, place.address);
}

}  // namespace

result<http::body_plan> receive_upload(const body_to_come& b) {
  // A URL, or nothing but a name, is short.
  if (b.in.files == nullptr || is_query(b.http)) return http::body_plan{};
  return plan_for(b.in, sink_for_upload(b.in, b.http, *b.who), b.in.files->limits().max_request_bytes);
}

awaitable<handled> upload_file(call& c) {
  // 1. A URL is answered as it is, whether the relay takes files or not: nothing is fetched.
  if (c.in.files == nullptr) {
    const auto parsed = parse_body(c, {});
    const std::string_view url = parsed && parsed->is_object() ? text_of(parsed->get_object(), "url") : "";
    if (!is_web_url(url)) co_return takes_none();
    co_return upload_reply(make_id(now(), random_for_id()), url, url);
  }
  // 2. Nothing but a name: the file is put to the address in the answer.
  const std::string_view type = c.http.header("Content-Type");
  if (is_query(c.http)) co_return put_place(c, c.http.body);
  if (c.http.body.empty()) co_return put_place(c, c.http.query);
  // 3. The file, by itself or in a form.
  auto got = co_await receive_whole(c);
  if (!got) co_return std::unexpected(std::move(got.error()));
  if (multipart_boundary(type) || is_plain_file(type))
    co_return co_await store_file(c, *got->files, got->text, {"body", "file"});
  // 4. JSON: a URL, the file as base64, or neither.
  c.http.body = got->text;
  const auto parsed = parse_body(c, {});
  if (!parsed) co_return std::unexpected(parsed.error());
  const json::object* o = parsed->if_object();
  const std::string_view url = o != nullptr ? text_of(*o, "url") : std::string_view{};
  const bool has_more =
      o != nullptr && std::ranges::any_of(*o, [](const auto& m) {
        return m.key() != "url" && m.value().is_string() && may_be_file(view(m.value().get_string()));
      });
  if (has_more) {
    problems wrong;
    wrong.wrong_type({"body"}, "extra_forbidden", "Extra inputs are not permitted: the file goes into url",
                     nullptr);
    co_return std::unexpected(std::move(wrong).to_error());
  }
  if (o != nullptr && !o->contains("url")) co_return put_place(c, c.http.query);
  if (is_web_url(url)) co_return upload_reply(make_id(now(), random_for_id()), url, url);
  if (may_be_file(url)) co_return co_await store_file(c, *got->files, url, {"body", "url"});
  problems wrong;
  const json::value shown = json::string(url.substr(0, 200));
  wrong.wrong_type({"body", "url"}, url.empty() ? "missing" : "value_error", std::string(taken_types()),
                   url.empty() ? nullptr : &shown);
  co_return std::unexpected(std::move(wrong).to_error());
}

// ComfyUI's: two addresses, one to put the file to and one to fetch it from.
awaitable<handled> announce_upload(call& c) {
  if (c.in.files == nullptr) co_return takes_none();
  const auto parsed = parse_body(c, {});
  if (!parsed) co_return std::unexpected(parsed.error());
  const json::object none;
  const json::object& o = parsed->is_object() ? parsed->get_object() : none;
  const std::string_view file_name = text_of(o, "file_name");
  if (file_name.empty()) {
    problems wrong;
    wrong.wrong_type({"body", "file_name"}, "missing", "Field required: such as \"picture.png\"", nullptr);
    co_return std::unexpected(std::move(wrong).to_error());
  }
  const to_put place = place_for(c, announced(text_of(o, "content_type"), file_name));
  co_return http::json_reply(200, {{"upload_url", json::string(place.put_to)},
                                   {"download_url", json::string(place.address)},
                                   {"existing_file", false}});
}

// The word in the path stands for an account.
result<http::body_plan> receive_put(const body_to_come& b) {
  const auto missing = [] { return fail(errc::not_found, "There is no such upload, or its time is over"); };
  const auto name = b.in.files != nullptr ? parse_asset_name(b.id) : std::nullopt;
  const auto owner = name ? b.in.files->permitted(*name, b.key, now()) : std::nullopt;
  if (!owner || !b.in.accounts.in_force(*owner, now())) return missing();
  if (b.in.files->has(name->id)) return fail(errc::conflict, "This file was uploaded already");
  auto sink = plain_sink(b.in.files->receive(*owner, name->id));
  return plan_for(b.in, std::move(sink), b.in.files->limits().max_file_bytes);
}

awaitable<handled> put_file(call& c) {
  std::string text(c.http.body);
  auto files = files_of(c.http);
  std::shared_ptr<http::body_sink> own;
  if (!files) {  // it came with its head
    auto plan = receive_put({c.in, c.http, c.id, c.key, nullptr});
    if (!plan) co_return std::unexpected(std::move(plan.error()));
    own = plan->sink;
    auto& sink = static_cast<file_sink&>(*own);
    auto whole = co_await through(sink, c.http.body);
    if (!whole) co_return std::unexpected(std::move(whole.error()));
    text = std::move(*whole);
    files = sink.files();
  }
  auto stored = co_await store_file(c, *files, text, {"body"});
  if (!stored) co_return std::unexpected(std::move(stored.error()));
  co_return http::reply{};  // 200: some clients take no other status
}

awaitable<handled> get_file(call& c) {
  const auto name = c.in.files != nullptr ? parse_asset_name(c.id) : std::nullopt;
  if (!name) co_return fail(errc::not_found, "There is no such file here");
  auto file = co_await c.in.files->open(*name);
  if (!file) co_return std::unexpected(std::move(file.error()));
  c.headers.emplace_back("X-Content-Type-Options", "nosniff");
  c.headers.emplace_back("Accept-Ranges", "bytes");
  const http::byte_range range = http::parse_range(
      c.http.method == http::verb::get ? c.http.header("Range") : std::string_view{}, file->bytes);
  http::reply out;
  const std::string size = std::to_string(file->bytes);
  if (range.what == http::byte_range::kind::unsatisfiable) {
    c.headers.emplace_back("Content-Range", "bytes */" + size);
    error e;
    e.status = 416;  // RFC 9110 §15.5.17
    e.code = errc::invalid_request;
    e.message.text = "Range: the file has " + size + " bytes";
    co_return std::unexpected(std::move(e));
  }
  if (range.what == http::byte_range::kind::part) {
    out.status = 206;
    c.headers.emplace_back("Content-Range", "bytes " + std::to_string(range.first) + "-" +
                                                std::to_string(range.first + range.bytes - 1) + "/" + size);
  }
  out.content_type = media_type_of(file->type);
  out.stream_bytes = range.bytes;
  out.stream = [&files = *c.in.files, file = std::move(*file), range](http::body_stream& to) {
    return send_file(files, file, range, to);
  };
  co_return out;
}

}  // namespace relay::handlers
