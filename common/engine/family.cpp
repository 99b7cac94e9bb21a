#include "common/engine/family.hpp"

#include <algorithm>

namespace relay {

const action* catalogue::find_action(std::string_view name) const {
  for (const family* f : families_) {
    if (const action* found = find_action(f->name, name)) return found;
  }
  return nullptr;
}

std::vector<const dialect*> catalogue::dialects_that_create() const {
  std::vector<const dialect*> out;
  for (const family* f : families_) {
    for (const dialect* d : f->dialects) {
      if (d->parse_create != nullptr) out.push_back(d);
    }
  }
  return out;
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

std::vector<std::string> catalogue::actions() const {
  std::vector<std::string> out;
  for (const family* f : families_) {
    for (const action* a : f->actions) out.emplace_back(a->name);
  }
  return out;
}

std::string catalogue::action_names() const {
  std::string out;
  for (const std::string& name : actions()) out.append(out.empty() ? "" : ", ").append(name);
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
