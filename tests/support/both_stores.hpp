#pragma once

// A fixture for what must hold on SQLite and on the store of the tests.

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>

#include "common/families.hpp"
#include "storage/sqlite/sqlite_store.hpp"
#include "tests/support/inbox.hpp"
#include "tests/support/memory_store.hpp"
#include "tests/support/opened_store.hpp"
#include "tests/support/temp_dir.hpp"

namespace relay::test {

enum class engine { sqlite, memory };

class both_stores : public ::testing::TestWithParam<engine> {
 protected:
  both_stores() { open(); }
  ~both_stores() override {
    if (GetParam() == engine::memory) forget_memory_store(dir_.file("a.db"));
  }

  /// Again: as after a restart.
  void open() {
    store_.reset();
    store_hooks hooks;
    hooks.post = [this](std::move_only_function<void()> f) { inbox_.post(std::move(f)); };
    if (GetParam() == engine::memory) {
      store_ = open_memory_store(dir_.file("a.db"), std::move(hooks));
      return;
    }
    sqlite_options options;
    options.path = dir_.file("a.db");
    auto opened = open_sqlite_store(options, families(), std::move(hooks));
    ASSERT_TRUE(opened) << opened.error().log.text;
    store_ = std::move(*opened);
  }
  template <class... P, class... A>
  result<completed_t<P...>> get(void (store::*function)(P...), A... arguments) {
    return call(*store_, inbox_, function, std::move(arguments)...);
  }

  temp_dir dir_;
  inbox inbox_;
  std::unique_ptr<store> store_;
};

}  // namespace relay::test
