#pragma once

// How an upstream's list is read, page by page: which part is asked for next, and what stood in it. Pure.

#include <string_view>

#include "common/base/error.hpp"
#include "common/base/json_items.hpp"
#include "common/engine/job.hpp"
#include "common/engine/protocol.hpp"

namespace relay {

/// One page, out of the parts of a response's body.
class page_reader {
 public:
  explicit page_reader(const protocol& p);
  page_reader(const page_reader&) = delete;
  page_reader& operator=(const page_reader&) = delete;

  void feed(std::string_view part) { items_.feed(part); }
  /// Errors: upstream_unavailable when it was no whole page.
  result<listed_page> end();

 private:
  void add(std::optional<std::string_view> text);

  const protocol& speaks_;
  listed_page page_;
  json_items items_;
};

/// Where the reading of a list stands. While it lasts, jobs come in at its head and go: pages overlap, so
/// that a job which moves over a border is not missed.
class list_walk {
 public:
  static constexpr std::size_t max_limit = 100;  // the most that an upstream is asked for at once

  std::size_t limit() const { return limit_; }
  std::size_t offset() const { return offset_; }

  /// What a page brought.
  struct news {
    bool joined = false;   // it began with something that an earlier page had shown
    bool any_new = false;  // it shows something that none before it had
  };
  /// A page came. Where it did not join, jobs went meanwhile, and some may have been stepped over: the next
  /// page goes back. False: the list ends with it.
  bool advance(const listed_page& page, news n);
  /// It did not fit, or took too long: a smaller one next. False: it was a single item already. Then
  /// skip_item() goes on behind it.
  bool halve();
  void skip_item() {
    ++offset_;
    overlaps_ = false;
  }

 private:
  std::size_t limit_ = max_limit;
  std::size_t offset_ = 0;
  bool overlaps_ = false;  // the next page begins with the end of the last one
};

}  // namespace relay
