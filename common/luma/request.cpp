#include "common/luma/request.hpp"

#include "common/base/id.hpp"
#include "common/luma/models.hpp"

namespace relay::luma {

result<json::object> outgoing_request(const task& t, const id_translation& translate, json_arena& memory) {
  auto parsed = parse_lenient(t.request, memory.storage());
  if (!parsed || !parsed->is_object())
    return fail(errc::invalid_request, "the stored request is not an object");
  json::object& request = parsed->get_object();
  for (const reference_place& place : row_of(t).references) {
    json::object* holder = reference_at(request, place);
    if (holder == nullptr) continue;
    const auto theirs = translate(normalise_id(text_of(*holder, "id")));
    if (!theirs) {
      std::string where;
      if (!place.parent.empty()) where.append(place.parent).append(".").append(place.child).append(".");
      return fail(errc::invalid_request, where + "id: that generation has not been accepted by an upstream");
    }
    (*holder)["id"] = json::string(*theirs);
  }
  return std::move(request);
}

std::string own_model(const json::object& request, const action& a, const outgoing_settings& with) {
  const std::string_view usual = with.models.own(with.models.default_for(
      a.name, a.default_model ? std::string_view(with.default_model) : std::string_view()));
  const json::value* named = member(request, "model");
  if (named != nullptr && !named->is_string()) return {};
  const std::string_view model = named != nullptr ? with.models.own(view(named->get_string())) : usual;
  return std::string(is_billing_name(model) && !usual.empty() ? usual : model);
}

void rename_member(json::object& o, std::string_view from, std::string_view to) {
  json::value* found = o.if_contains(from);
  if (found == nullptr) return;
  json::value value = std::move(*found);
  o.erase(from);
  o[to] = std::move(value);
}

}  // namespace relay::luma
