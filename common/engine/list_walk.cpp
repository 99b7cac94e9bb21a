#include "common/engine/list_walk.hpp"

#include <algorithm>

namespace relay {
namespace {

// An item holds what a client sent, which is shorter, and a few links.
constexpr std::size_t max_item = 8 * 1024 * 1024;

}  // namespace

page_reader::page_reader(const protocol& p)
    : speaks_(p),
      items_(p.list_member, max_item, [this](std::optional<std::string_view> text) { add(text); }) {}

void page_reader::add(std::optional<std::string_view> text) {
  ++page_.items;
  if (text) {
    if (auto j = speaks_.parse_listed(*text)) {
      page_.jobs.push_back(std::move(*j));
      return;
    }
  }
  page_.odd.push_back(page_.jobs.size());
}

result<listed_page> page_reader::end() {
  const auto rest = items_.end();
  const json::value* list = rest ? member(*rest, speaks_.list_member) : nullptr;
  if (list == nullptr || !list->is_array())
    return fail(errc::upstream_unavailable, "the upstream's response is not a whole page of its list");
  page_.has_more = speaks_.has_more(*rest);
  return std::move(page_);
}

bool list_walk::advance(const listed_page& page, news n) {
  const bool must_join = overlaps_;
  overlaps_ = page.items > 1;
  if (must_join && !n.joined && offset_ > 0) {
    offset_ -= std::min(offset_, limit_);
    return true;
  }
  // A page that is merely short proves nothing: what an upstream allows at most is not known. That there are
  // no more is believed when the page after it has nothing new.
  const bool says_end = page.has_more && !*page.has_more;
  if (page.items == 0 || (says_end && offset_ > 0 && !n.any_new)) return false;
  offset_ += page.items;
  if (overlaps_) offset_ -= std::max<std::size_t>(1, page.items / 10);
  limit_ = std::min(limit_ * 2, max_limit);
  return true;
}

bool list_walk::halve() {
  if (limit_ == 1) return false;
  limit_ /= 2;
  return true;
}

}  // namespace relay
