#include "common/engine/family.hpp"

#include <algorithm>

namespace relay {

bool catalogue::has_action(std::string_view name) const {
  return std::ranges::any_of(families_, [name](const family* f) {
    return std::ranges::find(f->actions, name, &action::name) != f->actions.end();
  });
}

const action* catalogue::find_action(std::string_view platform, std::string_view name) const {
  for (const family* f : families_) {
    if (f->name != platform) continue;
    for (const action* a : f->actions) {
      if (a->name == name) return a;
    }
  }
  return nullptr;
}

std::string catalogue::action_names() const {
  std::string out;
  for (const family* f : families_) {
    for (const action* a : f->actions) out.append(out.empty() ? "" : ", ").append(a->name);
  }
  return out;
}

const dialect* catalogue::find_dialect(std::string_view name) const {
  for (const family* f : families_) {
    for (const dialect* d : f->dialects) {
      if (d->name == name) return d;
    }
  }
  return nullptr;
}

const protocol* catalogue::find_protocol(std::string_view name) const {
  for (const family* f : families_) {
    for (const protocol* p : f->protocols) {
      if (p->name == name) return p;
    }
  }
  return nullptr;
}

std::vector<std::string_view> catalogue::protocol_names() const {
  std::vector<std::string_view> names;
  for (const family* f : families_) {
    for (const protocol* p : f->protocols) names.push_back(p->name);
  }
  return names;
}

milliseconds catalogue::longest_job_deadline() const {
  milliseconds longest{0};
  for (const family* f : families_) {
    for (const action* a : f->actions) longest = std::max(longest, a->job_deadline);
  }
  return longest;
}

}  // namespace relay
