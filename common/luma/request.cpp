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

namespace {

std::string model_in(const json::object& request, const action& a, const model_names& names,
                     std::string_view default_model) {
  const std::string_view usual =
      names.own(names.default_for(a.name, a.default_model ? default_model : std::string_view()));
  const json::value* named = member(request, "model");
  if (named != nullptr && !named->is_string()) return {};
  const std::string_view model = named != nullptr ? names.own(view(named->get_string())) : usual;
  return std::string(is_billing_name(model) && !usual.empty() ? usual : model);
}

// What clients send as text, and some as a number.
std::string word_in(const json::object& request, std::string_view key) {
  const json::value* v = member(request, key);
  if (v == nullptr) return {};
  if (v->is_string()) return std::string(view(v->get_string()));
  return v->is_number() ? json::serialize(*v) : std::string();
}

}  // namespace

std::string own_model(const json::object& request, const action& a, const outgoing_settings& with) {
  return model_in(request, a, with.models, with.default_model);
}

job_traits describe(const json::object& request, const relay::action& a, const model_names& names) {
  job_traits out;
  out.model = model_in(request, row_of(a), names, usual_model);
  out.resolution = word_in(request, "resolution");
  out.duration = duration_word(word_in(request, "duration"));
  out.length = length_of(out.duration);
  return out;
}

void settle_model(json::object& request, const relay::action& a, const model_names& names) {
  const json::value* named = member(request, "model");
  if (named != nullptr && !(named->is_string() && is_billing_name(view(named->get_string())))) return;
  const std::string model = model_in(request, row_of(a), names, usual_model);
  if (!model.empty()) request["model"] = json::string(model);
}

void rename_member(json::object& o, std::string_view from, std::string_view to) {
  json::value* found = o.if_contains(from);
  if (found == nullptr) return;
  json::value value = std::move(*found);
  o.erase(from);
  o[to] = std::move(value);
}

}  // namespace relay::luma
