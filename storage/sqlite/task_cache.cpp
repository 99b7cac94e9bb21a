#include "storage/sqlite/task_cache.hpp"

namespace relay::sqlite {

const task* task_cache::find(const std::string& id) {
  const auto found = by_id_.find(id);
  if (found == by_id_.end()) return nullptr;
  newest_first_.splice(newest_first_.begin(), newest_first_, found->second);
  return &*found->second;
}

void task_cache::put(const task& t) {
  if (limit_ == 0) return;
  if (const auto found = by_id_.find(t.id); found != by_id_.end()) {
    if (found->second->revision > t.revision) return;
    const std::list<task>::iterator node = found->second;
    by_id_.erase(found);  // its key points into the text that is replaced
    *node = t;
    by_id_.emplace(node->id, node);
    newest_first_.splice(newest_first_.begin(), newest_first_, node);
    return;
  }
  newest_first_.push_front(t);
  by_id_.emplace(newest_first_.front().id, newest_first_.begin());
  if (newest_first_.size() > limit_) {
    by_id_.erase(newest_first_.back().id);
    newest_first_.pop_back();
  }
}

}  // namespace relay::sqlite
