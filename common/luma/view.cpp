#include "common/luma/view.hpp"

#include <algorithm>

#include "common/luma/actions.hpp"
#include "common/luma/reply.hpp"

namespace relay::luma {
namespace {

std::string_view default_of(echo_field::otherwise value) {
  switch (value) {
    case echo_field::otherwise::no:
      return "false";
    case echo_field::otherwise::wide:
      return R"("16:9")";
    case echo_field::otherwise::null:
      break;
  }
  return "null";
}

json::object parse_request(const task& t, const json::storage_ptr& memory) {
  auto parsed = parse_lenient(t.request, memory);
  if (!parsed || !parsed->is_object()) return json::object(memory);
  return std::move(parsed->get_object());
}

// While it runs, a video may already have a preview; nothing else is promised.
bool may_show_assets(const task& t) {
  return t.state == task_state::completed || (t.state == task_state::running && row_of(t).previews);
}

}  // namespace

task_view::task_view(const task& t)
    : of_(t),
      request_(parse_request(t, memory_.storage())),
      reply_(memory_.storage()),
      media_(memory_.storage()) {
  if (may_show_assets(t)) {
    const json::value* sent = reported("assets");
    if (sent != nullptr && sent->is_object() &&
        std::ranges::any_of(sent->get_object(), [](const auto& m) { return !m.value().is_null(); }))
      media_.assets = *sent;
  }
  if (t.state != task_state::completed) return;
  const expected_media expected{
      nominal_size(text_of(request_, "aspect_ratio"), text_of(request_, "resolution")),
      nominal_seconds(text_of(request_, "duration")), row_of(t).generation_type == "video"};
  if (const json::object* job = parse_reported()) {
    complete(media_, *job, expected);
  } else {
    complete(media_, json::object(memory_.storage()), expected);
  }
}

const json::object* task_view::parse_reported() const {
  if (!reported_) {
    reported_ = nullptr;
    if (auto parsed = of_.reply.empty() ? std::nullopt : parse_lenient(of_.reply, memory_.storage())) {
      reply_ = std::move(*parsed);
      reported_ = body_of(reply_);
    }
  }
  return *reported_;
}

const json::value* task_view::reported(std::string_view key) const {
  const json::object* job = parse_reported();
  return job != nullptr ? member(*job, key) : nullptr;
}

// The official API echoes optional members as explicit nulls and fills in its defaults.
void task_view::append_echo(std::string& out, std::string_view no_prompt) const {
  const action& a = row_of(of_);
  json_object_writer w(out);
  bool with_prompt = false;
  const auto callback_url = [&] {
    if (of_.callback_url.empty())
      w.member("callback_url", nullptr);
    else
      w.member("callback_url", of_.callback_url);
  };
  // 1. What was requested; an id that came in the path is no part of it.
  const bool id_in_path = a.path.contains("{id}");
  for (const auto& m : request_) {
    const std::string_view name = view(m.key());
    if (id_in_path && name == "id") continue;
    if (name == "callback_url") {
      callback_url();
      continue;
    }
    if (name != "prompt") {
      w.member(name, m.value());
      continue;
    }
    with_prompt = true;
    if (m.value().is_null())
      w.key(name).append(no_prompt);
    else
      w.member(name, m.value());
  }
  // 2. What was not.
  if (!request_.contains("generation_type")) w.member("generation_type", a.request_type);
  for (const echo_field& f : a.echo) {
    if (request_.contains(f.name)) continue;
    const bool is_prompt = f.name == "prompt";
    w.key(f.name).append(is_prompt ? no_prompt : default_of(f.value));
    with_prompt = with_prompt || is_prompt;
  }
  if (!request_.contains("callback_url")) callback_url();
  if (!with_prompt && no_prompt != "null") w.key("prompt").append(no_prompt);
  w.end();
}

int progress_of(const task& t, timestamp now) {
  switch (t.state) {
    case task_state::pending:
    case task_state::submitting:
      return 0;
    case task_state::queued:
      return 10;
    case task_state::completed:
    case task_state::failed:
      return 100;
    case task_state::running:
      break;
  }
  if (t.progress >= 0) return std::min(t.progress, 99);
  // A job takes one to two minutes; the figure must not stay at 90% for long, nor go back.
  const auto passed = std::chrono::duration<double>(now - t.started_at).count();
  return std::clamp(20 + static_cast<int>(passed * 70.0 / 120.0), 20, 90);
}

}  // namespace relay::luma
