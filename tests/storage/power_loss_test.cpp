// The power goes while the store writes: whatever was acknowledged is there afterwards.
//   RELAY_CUTS=5000 storage_tests --gtest_filter='power_loss*'    the long form

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <map>
#include <random>

#include "common/base/id.hpp"
#include "common/families.hpp"
#include "storage/sqlite/sqlite_store.hpp"
#include "tests/support/forgetful_vfs.hpp"
#include "tests/support/inbox.hpp"
#include "tests/support/luma.hpp"
#include "tests/support/temp_dir.hpp"

namespace relay {
namespace {

int setting(const char* name, int otherwise) {
  const char* text = std::getenv(name);
  return text != nullptr ? std::atoi(text) : otherwise;
}

struct outcome {
  int cuts = 0;
  int acknowledged = 0;  // rows looked for, over all cuts
  int lost = 0;          // not there, or older than acknowledged
  int unreadable = 0;    // databases that could not be opened
};

// Creates and saves tasks, and cuts the power in between.
outcome cut_power(const std::string& synchronous, int cuts, unsigned seed) {
  const test::forgetful_vfs disk;
  test::temp_dir dir;
  test::inbox in;
  store_hooks hooks;
  hooks.post = [&in](std::move_only_function<void()> f) { in.post(std::move(f)); };
  sqlite_options options;
  options.path = dir.file("relay.db");
  options.cache_bytes = 0;
  options.synchronous = synchronous;
  auto opened = open_sqlite_store(options, families(), std::move(hooks));
  EXPECT_TRUE(opened) << opened.error().log.text;
  store& s = **opened;
  std::map<std::string, task> known;  // as acknowledged
  std::vector<std::string> order;
  int under_way = 0;
  account owner;
  owner.name = "a";
  bool ready = false;
  s.write_account(owner, nullptr, [&](result<account> r) { ready = r.has_value(); });
  while (!ready) in.run_one();

  std::minstd_rand random(seed);
  outcome out;
  int made = 0;
  while (out.cuts < cuts) {
    // A few writes at once, as clients and polls bring them.
    const int batch = 1 + static_cast<int>(random() % 8);
    for (int i = 0; i < batch; ++i) {
      ++under_way;
      if (order.empty() || random() % 2 == 0) {
        task t = test::luma_task();
        t.id = "t-" + std::to_string(++made);
        t.owner = 1;
        t.request = std::string(200 + random() % 3'000, 'x');
        s.write({nullptr, std::move(t), std::nullopt}, [&](result<written_change> r) {
          --under_way;
          if (!r) return;
          order.push_back(r->value->id);
          known[r->value->id] = *r->value;
        });
      } else {
        const auto before = std::make_shared<const task>(known[order[random() % order.size()]]);
        task t = *before;
        t.reply = std::string(random() % 2'000, 'y');
        t.state = task_state::running;
        s.write({before, std::move(t), std::nullopt}, [&](result<written_change> r) {
          --under_way;
          if (r) known[r->value->id] = *r->value;
        });
      }
    }
    // The cut comes with some of them acknowledged, some not.
    const int leave = static_cast<int>(random() % 3);
    while (under_way > leave) in.run_one();
    const std::string folder = dir.file("cut");
    std::filesystem::remove_all(folder);
    std::filesystem::create_directory(folder);
    test::forgetful_vfs::power_cut(options.path, folder, static_cast<std::uint32_t>(out.cuts) + 1'000 * seed);
    ++out.cuts;

    sqlite_options after;
    after.path = folder + "/relay.db";
    after.cache_bytes = 0;
    test::inbox found_in;
    store_hooks none;
    none.post = [&found_in](std::move_only_function<void()> f) { found_in.post(std::move(f)); };
    auto left = open_sqlite_store(after, families(), std::move(none));
    if (!left) {
      std::printf("unreadable: %s\n", left.error().log.text.c_str());
      ++out.unreadable;
      continue;
    }
    // The newest are the ones at risk; of the old ones a sample.
    for (std::size_t i = 0; i < std::min<std::size_t>(order.size(), 60); ++i) {
      const std::string& id =
          i < 40 ? order[order.size() - 1 - i % order.size()] : order[random() % order.size()];
      std::optional<result<task_ptr>> read;
      (*left)->load(id, [&read](result<task_ptr> r) { read = std::move(r); });
      while (!read) found_in.run_one();
      const result<task_ptr>& found = *read;
      ++out.acknowledged;
      out.lost += !found || !*found || (*found)->revision < known[id].revision ||
                  ((*found)->revision == known[id].revision && **found != known[id]);
    }
  }
  while (under_way > 0) in.run_one();
  s.close();
  return out;
}

TEST(power_loss, takes_nothing_that_was_acknowledged) {
  // Each round begins with a new database, so that a cut does not have to copy a large one.
  constexpr int round = 150;
  outcome all;
  for (int left = setting("RELAY_CUTS", RELAY_SHORT_CUTS); left > 0; left -= round) {
    const outcome o = cut_power("FULL", std::min(left, round), static_cast<unsigned>(left));
    all.cuts += o.cuts;
    all.acknowledged += o.acknowledged;
    all.lost += o.lost;
    all.unreadable += o.unreadable;
  }
  std::printf("%d cuts, %d acknowledged rows looked for, %d lost, %d databases unreadable\n", all.cuts,
              all.acknowledged, all.lost, all.unreadable);
  EXPECT_EQ(all.lost, 0);
  EXPECT_EQ(all.unreadable, 0);
}

// The same harness, with a setting that is known to lose commits: it must see that.
TEST(power_loss, is_seen_by_this_harness_with_less_than_full_synchronisation) {
  const outcome o = cut_power("NORMAL", 60, 7);
  std::printf("with synchronous=NORMAL: %d cuts, %d acknowledged rows looked for, %d lost\n", o.cuts,
              o.acknowledged, o.lost);
  EXPECT_GT(o.lost, 0);
}

}  // namespace
}  // namespace relay
