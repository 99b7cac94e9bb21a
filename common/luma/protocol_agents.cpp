#include "common/luma/protocol_agents.hpp"

#include "common/base/json_text.hpp"
#include "common/base/url.hpp"
#include "common/luma/agents_request.hpp"
#include "common/luma/reply.hpp"
#include "common/luma/request.hpp"

namespace relay::luma {
namespace {

constexpr std::chrono::hours links_work_for{1};

std::string obstacle(const task& t, const outgoing_settings& with) {
  json_arena memory;
  const auto request = parse_lenient(t.request, memory.storage());
  if (!request || !request->is_object()) return "the stored request is not an object";
  const auto translated = agents_request(row_of(t), request->get_object(), with);
  return translated ? std::string() : translated.error().message.text;
}

std::string model_of(const task& t, const outgoing_settings& with) {
  json_arena memory;
  const auto request = parse_lenient(t.request, memory.storage());
  return request && request->is_object() ? own_model(request->get_object(), row_of(t), with) : "";
}

result<outgoing> build_create(const task& t, const outgoing_settings& with, const id_translation& translate) {
  json_arena memory;
  const auto request = outgoing_request(t, translate, memory);
  if (!request) return std::unexpected(request.error());
  const auto translated = agents_request(row_of(t), *request, with);
  if (!translated) return std::unexpected(translated.error());
  return outgoing{"/generations", to_text(*translated)};
}

std::string build_fetch(const std::string& upstream_id) {
  return "/generations/" + path_segment(upstream_id);
}

result<job> parse_agents_job(std::string_view body) {
  auto j = parse_job(body);
  if (j && j->state == job_state::completed && !is_set(j->links_until) && j->links_for.count() == 0)
    j->links_for = links_work_for;
  return j;
}

result<listed_job> parse_agents_listed(std::string_view body) {
  auto j = parse_listed(body);
  if (j) j->request.reset();  // it shows nothing of the request
  return j;
}

// FastAPI's shape.
bool says_not_found(std::string_view body) {
  const auto v = parse_lenient(body);
  return v && v->is_object() && member(v->get_object(), "detail") != nullptr;
}

bool other_request(const json::object&, const listed_job&) {
  return false;
}

}  // namespace

const protocol agents_protocol = {.name = "agents",
                                  .base_path = "/v1",
                                  .authorization = "Bearer ",
                                  .marker_field = "",
                                  .obstacle = obstacle,
                                  .model_of = model_of,
                                  .build_create = build_create,
                                  .build_fetch = build_fetch,
                                  .parse_job = parse_agents_job,
                                  .parse_listed = parse_agents_listed,
                                  .says_not_found = says_not_found,
                                  .other_request = other_request,
                                  .error_text = error_text,
                                  .check_path = "/generations/00000000-0000-4000-8000-000000000000"};

}  // namespace relay::luma
