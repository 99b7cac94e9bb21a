// POST /luma/tasks: the stations' code/message/data envelope, served from the task table.

#include <boost/unordered/unordered_flat_set.hpp>

#include "common/base/id.hpp"
#include "common/base/problems.hpp"
#include "common/base/text_hash.hpp"
#include "common/luma/actions.hpp"
#include "common/luma/dialects.hpp"
#include "common/luma/web_app_fields.hpp"
#include "common/luma/words.hpp"

namespace relay::luma {
namespace {

result<std::string> render_item(const task& t, const showing& with) {
  const task_view v(t);
  const std::string created_at = to_iso(t.created_at, precision::milliseconds);
  std::string out;
  json_object_writer w(out);
  w.member("id", t.row);
  w.member("created_at", created_at);
  w.member("updated_at", to_iso(t.updated_at, precision::milliseconds));
  w.member("task_id", t.id);
  w.member("platform", with.platform.empty() ? t.action->platform : with.platform);
  w.member("action", row_of(t).envelope);
  w.member("status", envelope_status(t.state));
  w.member("fail_reason", t.state == task_state::failed ? std::string_view(t.fail_reason) : "");
  w.member("submit_time", to_unix(t.created_at));
  w.member("start_time", to_unix(t.started_at));
  w.member("finish_time", to_unix(t.finished_at));
  w.member("progress", std::to_string(progress_of(t, with.now)) + "%");

  // The inner object is what the upstream says of its job, so its time is the upstream's own once there is
  // one.
  json_object_writer data(w.key("data"));
  const json::value* theirs = v.reported("created_at");
  if (theirs != nullptr && theirs->is_string() && !theirs->get_string().empty())
    write_web_app_fields(data, v, {web_app_state(t.state), view(theirs->get_string())});
  else
    write_web_app_fields(data, v, {web_app_state(t.state), to_iso(t.created_at, precision::microseconds)});
  data.end();
  w.end();
  return out;
}

// Its progress is worked out from the time when the upstream reports none.
bool progress_by_time(const task& t) {
  return t.state == task_state::running;
}

list_frame frame_batch() {
  return {R"({"code":"success","message":"","data":[)", "]}"};
}

result<std::vector<std::string>> parse_ids(const json::value& body, std::size_t max) {
  problems wrong;
  const auto refuse = [&wrong]() -> result<std::vector<std::string>> {
    return std::unexpected(std::move(wrong).to_error());
  };
  const json::object* o = body.if_object();
  const json::value* ids = o != nullptr ? member(*o, "ids") : nullptr;
  if (o == nullptr) {
    wrong.wrong_type({"body"}, "model_attributes_type",
                     "Input should be a JSON object such as {\"ids\":[\"…\"]}", &body);
    return refuse();
  }
  if (ids == nullptr) {
    wrong.wrong_type({"body", "ids"}, "missing", "Field required: a list of task ids", nullptr);
    return refuse();
  }
  if (!ids->is_array()) {
    wrong.wrong_type({"body", "ids"}, "list_type", "Input should be a list of task ids", ids);
    return refuse();
  }
  const json::array& list = ids->get_array();
  if (list.size() > max) {
    wrong.broken_rule(
        {"body", "ids"}, "too_long",
        "List should have at most " + std::to_string(max) + " ids, not " + std::to_string(list.size()),
        nullptr);
    return refuse();
  }
  std::vector<std::string> out;
  out.reserve(list.size());  // `seen` points into it
  boost::unordered_flat_set<std::string_view, text_hash> seen;
  seen.reserve(list.size());
  for (std::size_t i = 0; i < list.size(); ++i) {
    if (!list[i].is_string()) {
      wrong.wrong_type({"body", "ids", std::to_string(i)}, "string_type", "Input should be a valid string",
                       &list[i]);
      continue;
    }
    out.push_back(normalise_id(view(list[i].get_string())));
    if (!seen.insert(out.back()).second) out.pop_back();
  }
  if (!wrong.none()) return refuse();
  return out;
}

}  // namespace

const task_form forms::item = {"item", envelope_status, render_item, progress_by_time};

const dialect dialects::tasks = {.name = "luma-tasks",
                                 .parse_create = nullptr,
                                 .created = nullptr,
                                 .shown = &forms::item,
                                 .frame_page = nullptr,
                                 .parse_ids = parse_ids,
                                 .frame_batch = frame_batch,
                                 .in_array = &forms::web_app,
                                 .render_error = render_envelope_error};

}  // namespace relay::luma
