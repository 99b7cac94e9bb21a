#include "server/handlers/files.hpp"

#include <algorithm>
#include <charconv>

#include "common/base/base64.hpp"
#include "common/base/files_in_json.hpp"
#include "common/base/problems.hpp"
#include "server/assets/receiving.hpp"

namespace relay::handlers {
namespace {

constexpr std::string_view takes_none =
    "Input should be an http or https URL: this relay takes no files as base64 until its operator sets "
    "server.public_url";

// A retry is answered as the first was, whether there is room for its files again or not.
bool may_have_come_before(const http::request& r) {
  return !r.header("Idempotency-Key").empty() || !r.header("x-stainless-retry-count").empty();
}

// No string in it is so long that it would be taken out. Most creates are: they stay in memory.
bool is_short(const http::request& r) {
  const std::string_view text = r.header("Content-Length");
  std::uint64_t length = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), length);
  return !text.empty() && ec == std::errc{} && length <= files_in_json_limits{}.string_bytes;
}

// What is wrong with a file for its place; empty: nothing.
std::string_view unfit(const incoming_file& f, const file_place& place) {
  if (!f.type()) return taken_types();
  if (place.is_video && is_picture(*f.type())) return "Input should be a video: MP4";
  if (!place.is_video && !is_picture(*f.type())) return "Input should be a picture: PNG, JPEG, WebP or GIF";
  return {};
}

}  // namespace

std::string_view taken_types() {
  return "Input should be a PNG, JPEG, WebP or GIF picture or an MP4 video, as an http or https URL, a data "
         "URI "
         "or base64";
}

result<http::body_plan> receive_create(const body_to_come& b) {
  http::body_plan out;
  if (b.in.files == nullptr) {
    out.why_most = "; pictures are taken as URLs only, until the operator sets server.public_url";
    return out;
  }
  if (is_short(b.http)) return out;
  auto files = b.in.files->receive(b.who->id);
  if (may_have_come_before(b.http)) files->go_on_without_room();
  const auto in_memory = b.in.settings.server.max_body_bytes;
  out.most = static_cast<std::uint64_t>(std::max(in_memory, b.in.files->limits().max_request_bytes));
  out.within = b.in.files->limits().receive_timeout;
  out.sink = json_sink(std::move(files), static_cast<std::size_t>(in_memory));
  return out;
}

bool any_to_take(const call& c, std::span<const file_place> places) {
  const auto files = files_of(c.http);
  if (files && files->received() > 0) return true;
  return std::ranges::any_of(places, [&c](const file_place& p) {
    const std::string_view text = view(*p.text);
    return may_be_file(text) || (c.in.files != nullptr && c.in.files->name_in(text));
  });
}

awaitable<result<taken_file>> take_file(request_files& files, std::string_view text) {
  if (const incoming_file* known = files.find(text)) co_return taken_file{known};
  const auto content = base64_of(text);
  if (!content)
    co_return taken_file{nullptr, "Input should be a data URI of the form data:image/png;base64,…"};
  if (auto room = files.reserve(static_cast<std::int64_t>(content->size())); !room)
    co_return std::unexpected(std::move(room.error()));
  // The text is short: a long one was taken from the body as it came.
  std::string bytes;
  base64_decoder decoder;
  if (!decoder.feed(*content, bytes) || !decoder.finish(bytes))
    co_return taken_file{
        nullptr, "Input should be base64: it has a character that is none of base64's, or is cut off"};
  const auto work = [&files, &bytes]() -> result<std::string> {
    if (auto begun = files.begin(); !begun) return std::unexpected(std::move(begun.error()));
    if (auto written = files.write(bytes); !written) return std::unexpected(std::move(written.error()));
    return files.end();
  };
  const auto stands_for = co_await files.run(work);
  files.settle();
  if (!stands_for) co_return std::unexpected(stands_for.error());
  co_return taken_file{files.find(*stands_for)};
}

awaitable<result<std::shared_ptr<request_files>>> take_files(call& c, std::span<const file_place> places) {
  problems wrong;
  std::shared_ptr<request_files> files = files_of(c.http);
  if (!files && c.in.files != nullptr) {
    files = c.in.files->receive(c.who.id);
    if (may_have_come_before(c.http)) files->go_on_without_room();
  }
  for (const file_place& place : places) {
    const std::string_view text = view(*place.text);
    const json::value shown = json::string(text.substr(0, 200));
    if (!may_be_file(text)) {
      const auto name = c.in.files != nullptr ? c.in.files->name_in(text) : std::nullopt;
      if (name && !files->want_stored(*name))
        wrong.wrong_type(place.where, "value_error", "There is no such file here any more; upload it again",
                         &shown);
      continue;
    }
    if (!files) {
      wrong.wrong_type(place.where, "url_scheme", std::string(takes_none), &shown);
      continue;
    }
    const auto taken = co_await take_file(*files, text);
    if (!taken) co_return std::unexpected(taken.error());
    const std::string_view problem = taken->file != nullptr ? unfit(*taken->file, place) : taken->problem;
    if (!problem.empty()) {
      wrong.wrong_type(place.where, "value_error", std::string(problem), &shown);
      continue;
    }
    files->want(*taken->file);
    *place.text = files->url_of(*taken->file);
  }
  if (wrong.none() && files && !files->all_wanted()) {
    wrong.wrong_type({"body"}, "extra_forbidden",
                     "Extra inputs are not permitted: there is a file, as base64, where none is expected",
                     nullptr);
  }
  if (!wrong.none()) co_return std::unexpected(std::move(wrong).to_error());
  co_return files;
}

}  // namespace relay::handlers
