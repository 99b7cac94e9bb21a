#pragma once

// The store on a file, without a loop: this thread waits for what its functions end in.

#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "common/families.hpp"
#include "storage/sqlite/sqlite_store.hpp"
#include "tests/support/inbox.hpp"

namespace relay::test {

/// Waits for what a function of the store ends in.
template <class... P, class... A>
result<completed_t<P...>> call(store& s, inbox& in, void (store::*function)(P...), A... arguments) {
  using value = completed_t<P...>;
  std::optional<result<value>> out;
  (s.*function)(std::move(arguments)..., completion<value>([&out](result<value> r) { out = std::move(r); }));
  EXPECT_FALSE(out) << "never inside the call";
  while (!out) in.run_one();
  return std::move(*out);
}

struct opened_store {
  /// Fails the test when it cannot be opened.
  explicit opened_store(const std::string& path, sqlite_options options = {}) {
    options.path = path;
    auto opened = open(options);
    EXPECT_TRUE(opened) << opened.error().log.text;
    if (opened) kept = std::move(*opened);
  }
  template <class... P, class... A>
  result<completed_t<P...>> get(void (store::*function)(P...), A... arguments) {
    return call(*kept, in, function, std::move(arguments)...);
  }

  inbox in;
  /// Waits until there is a warning.
  std::string wait_for_warning() {
    std::unique_lock lock(mutex);
    EXPECT_TRUE(one_more.wait_for(lock, std::chrono::seconds(20), [this] { return !warned.empty(); }));
    return warned.empty() ? "" : warned.front();
  }

  std::vector<std::string> noticed;
  std::mutex mutex;  // guards the three below
  std::condition_variable one_more;
  std::vector<std::string> warned, stopped;
  std::unique_ptr<store> kept;

 private:
  result<std::unique_ptr<store>> open(const sqlite_options& options) {
    store_hooks hooks;
    hooks.post = [this](std::move_only_function<void()> f) { in.post(std::move(f)); };
    hooks.warn = [this](const log_text& text) {
      const std::lock_guard lock(mutex);
      warned.push_back(text.text);
      one_more.notify_all();
    };
    hooks.notice = [this](const log_text& text) { noticed.push_back(text.text); };
    hooks.stopped = [this](const log_text& text) {
      const std::lock_guard lock(mutex);
      stopped.push_back(text.text);
    };
    return open_sqlite_store(options, families(), std::move(hooks));
  }
};

/// Why the store cannot be opened; empty: it can.
inline std::string refusal_of(const std::string& path) {
  sqlite_options options;
  options.path = path;
  store_hooks hooks;
  hooks.post = [](std::move_only_function<void()>) {};
  const auto opened = open_sqlite_store(options, families(), std::move(hooks));
  return opened ? "" : opened.error().log.text;
}

}  // namespace relay::test
