// POST /luma/tasks: the stations' code/message/data envelope, served from the task table.

#include <unordered_set>

#include "common/base/id.hpp"
#include "common/base/problems.hpp"
#include "common/luma/actions.hpp"
#include "common/luma/dialects.hpp"
#include "common/luma/web_app_fields.hpp"
#include "common/luma/words.hpp"

namespace relay::luma {
namespace {

result<std::string> render_item(const task& t, timestamp now) {
  const task_view v(t);
  json::object data = web_app_fields(v, precision::microseconds);
  // The inner object is what the upstream says of its job, so its time is the upstream's own once there is
  // one.
  if (const auto theirs = text_of(v.reported, "created_at"); !theirs.empty())
    data["created_at"] = json::string(theirs);
  const json::object item{{"id", t.row},
                          {"created_at", json::string(to_iso(t.created_at, precision::milliseconds))},
                          {"updated_at", json::string(to_iso(t.updated_at, precision::milliseconds))},
                          {"task_id", json::string(t.id)},
                          {"platform", json::string(t.action->platform)},
                          {"action", json::string(row_of(t).envelope)},
                          {"status", json::string(envelope_status(t.state))},
                          {"fail_reason", json::string(t.state == task_state::failed ? t.fail_reason : "")},
                          {"submit_time", to_unix(t.created_at)},
                          {"start_time", to_unix(t.started_at)},
                          {"finish_time", to_unix(t.finished_at)},
                          {"progress", json::string(std::to_string(progress_of(t, now)) + "%")},
                          {"data", std::move(data)}};
  return json::serialize(item);
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
  std::unordered_set<std::string> seen;
  for (std::size_t i = 0; i < list.size(); ++i) {
    if (!list[i].is_string()) {
      wrong.wrong_type({"body", "ids", std::to_string(i)}, "string_type", "Input should be a valid string",
                       &list[i]);
      continue;
    }
    std::string id = normalise_id(view(list[i].get_string()));
    if (seen.insert(id).second) out.push_back(std::move(id));
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
                                 .render_error = render_envelope_error};

}  // namespace relay::luma
