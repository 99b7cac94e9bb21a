#include "server/outgoing_request.hpp"

#include <unordered_map>

#include "server/await_store.hpp"

namespace relay {

awaitable<result<outgoing>> outgoing_request(store& s, const task& t, const protocol& p,
                                             const outgoing_settings& with) {
  std::unordered_map<std::string, task_ptr> known;
  for (;;) {
    std::vector<std::string> missing;
    const auto translate = [&](const std::string& id) -> std::optional<std::string> {
      auto found = known.find(id);
      if (found == known.end()) {
        task_ptr kept = s.in_memory(id);
        if (!kept) missing.push_back(id);
        found = known.emplace(id, std::move(kept)).first;
      }
      const task_ptr& other = found->second;
      if (!other || other->owner != t.owner || other->upstream_id.empty()) return std::nullopt;
      return other->upstream_id;
    };
    auto built = p.build_create(t, with, translate);
    if (missing.empty()) co_return built;
    // Some were not in memory: read them, and build it once more. What its client has deleted since the
    // create is there all the same.
    for (const std::string& id : missing) {
      auto read = co_await load_task(s, id);
      if (!read) co_return std::unexpected(std::move(read.error()));
      known[id] = std::move(*read);
    }
  }
}

}  // namespace relay
