#include "server/rendered.hpp"

#include <algorithm>

namespace relay {
namespace {

constexpr std::size_t largest_kept = 64 * 1024;  // one of the large would drive out many

}  // namespace

const std::string* rendered_tasks::entry::find(const task_form& how) const {
  const auto found = std::ranges::find(forms, &how, &rendering::how);
  return found == forms.end() ? nullptr : &found->bytes;
}

std::size_t rendered_tasks::entry::bytes() const {
  std::size_t sum = sizeof(entry);
  for (const rendering& r : forms) sum += sizeof(rendering) + r.bytes.capacity();
  return sum;
}

result<void> rendered_tasks::append(std::string& out, const task_form& how, const task& t,
                                    const showing& with) {
  const bool may_be_kept = !how.depends_on_time(t);
  entry* kept = may_be_kept ? kept_.find(t.id) : nullptr;
  if (kept != nullptr && kept->revision == t.revision) {
    if (const std::string* bytes = kept->find(how)) {
      out.append(*bytes);
      return {};
    }
  }
  auto made = how.render(t, with);
  if (!made) return std::unexpected(std::move(made.error()));
  out.append(*made);
  if (!may_be_kept || made->size() > largest_kept) return {};
  const auto kind = reinterpret_cast<std::uintptr_t>(&how) + static_cast<std::size_t>(t.revision);
  if (!asked_again_(t.id, kind)) return {};
  // An older revision than the one that is kept, read on another thread, must not replace it.
  if (kept != nullptr && kept->revision > t.revision) return {};
  entry next;
  if (kept != nullptr && kept->revision == t.revision) next = std::move(*kept);
  next.revision = t.revision;
  next.forms.push_back({&how, std::move(*made)});
  const std::size_t bytes = next.bytes();
  kept_.put(t.id, std::move(next), bytes);
  return {};
}

}  // namespace relay
