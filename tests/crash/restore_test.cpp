// A backup is restored: nothing is bought twice, nothing that was bought is forgotten (rule F13).

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/support/child_relay.hpp"
#include "tests/support/ledger_check.hpp"
#include "tests/support/running.hpp"
#include "tests/support/tcp_gate.hpp"

namespace relay::test {
namespace {

const std::string generations = "/dream-machine/v1/generations";

struct restore : ::testing::Test {
  /// `more`: TOML at the end of the configuration.
  explicit restore(const std::string& more = {}) : relay(dir, free_port(), gate.url(), more) {
    EXPECT_TRUE(relay.start()) << relay.log_tail();
    const std::string text = relay.command("token create --name me");
    token = text.substr(0, text.find('\n'));
  }
  client me() const { return client(relay.port(), "Bearer " + token); }
  std::string create(const std::string& prompt) const {
    const response r = me().post(generations, R"({"prompt":")" + prompt + "\"}");
    EXPECT_EQ(r.status, 201) << r.body;
    return std::string(text_of(r.json().as_object(), "id"));
  }
  void wait_until_completed(const std::string& id) const {
    wait_for_state(me(), generations + "/" + id, "completed");
  }
  void stop() {
    relay.ask_to_stop();
    relay.wait();
  }
  std::string whole_log() const {
    std::ifstream in(dir.file("relay.log"));
    return {std::istreambuf_iterator<char>(in), {}};
  }

  temp_dir dir;
  running_simulator sim;
  tcp_gate gate{sim.port()};
  child_relay relay;
  std::string token;
  const std::string copy = dir.file("copy.db");
};

TEST_F(restore, what_was_submitted_since_is_followed_and_not_submitted_again) {
  const std::string done = create("done before");
  wait_until_completed(done);
  gate.refuse_new();
  gate.cut_all();
  const std::string first = create("waits in the backup");
  const std::string second = create("waits there too");
  relay.command("backup " + copy);
  gate.let_through();
  wait_until_completed(first);
  wait_until_completed(second);
  const std::string later = create("made after the backup");
  wait_until_completed(later);
  ASSERT_EQ(sim.created(), 4);
  EXPECT_EQ(relay.command("restore " + copy), "");
  EXPECT_EQ(me().get(generations + "/" + later).status, 200) << "not while a relay has the database";
  stop();

  relay.command("restore " + copy);
  EXPECT_TRUE(std::filesystem::exists(relay.database() + ".before-restore-1"));
  EXPECT_FALSE(std::filesystem::exists(relay.database() + "-wal"))
      << "the log of what was there went with it";
  ASSERT_TRUE(relay.start()) << relay.log_tail();
  wait_until_completed(first);
  wait_until_completed(second);
  wait_until_completed(done);
  EXPECT_EQ(me().get(generations + "/" + later).status, 404);
  EXPECT_EQ(sim.created(), 4) << "nothing was bought twice";
  stop();
  EXPECT_NE(whole_log().find("made for task " + later + ", which the restored backup does not have"),
            std::string::npos)
      << relay.log_tail();
}

TEST_F(restore, what_is_not_found_is_held_for_the_operator) {
  gate.refuse_new();
  const std::string first = create("waits");
  const std::string second = create("waits too");
  relay.command("backup " + copy);
  relay.kill();
  gate.let_through();
  relay.command("restore " + copy);
  ASSERT_TRUE(relay.start()) << relay.log_tail();
  // Others go on meanwhile.
  wait_until_completed(create("new"));
  const std::string held = relay.command("task list --state held");
  EXPECT_NE(held.find(first), std::string::npos) << held;
  EXPECT_NE(held.find(second), std::string::npos) << held;
  EXPECT_EQ(text_of(me().get(generations + "/" + first).json().as_object(), "state"), "queued");
  EXPECT_EQ(sim.created(), 1);
  relay.command("task release " + first);
  wait_until_completed(first);
  relay.command("task cancel-pending --token me");
  wait_for_state(me(), generations + "/" + second, "failed");
  EXPECT_EQ(relay.command("task list --state held"), "");
  EXPECT_EQ(sim.created(), 2);
  // It is still a restored one after a kill, and no more once nothing is held.
  relay.kill();
  ASSERT_TRUE(relay.start()) << relay.log_tail();
  wait_until_completed(create("another"));
}

// The money of a backup is that of its jobs: what was charged since is charged again when the job's end is
// seen again, what was held and is gone for good is free.
struct restore_with_prices : restore {
  restore_with_prices() : restore("[[price]]\nprice = \"0.40\"\n") {}
};

TEST_F(restore_with_prices, the_ledger_is_that_of_the_jobs_that_are_there) {
  relay.command("account set me --prepaid");
  relay.command("account topup me 10");
  wait_until_completed(create("done before"));
  gate.refuse_new();
  gate.cut_all();
  const std::string followed = create("waits in the backup");
  const std::string held = create("waits, and is never submitted");
  relay.command("task cancel-pending " + held);
  const std::string again = create("waits there too");
  relay.command("backup " + copy);
  EXPECT_EQ(ledger_faults(copy, false), "");
  gate.let_through();
  wait_until_completed(followed);
  wait_until_completed(again);
  wait_until_completed(create("made after the backup"));
  stop();
  EXPECT_EQ(ledger_faults(relay.database()), "");
  relay.command("restore " + copy);
  EXPECT_EQ(ledger_faults(relay.database(), false), "");
  ASSERT_TRUE(relay.start()) << relay.log_tail();
  wait_until_completed(followed);
  wait_until_completed(again);
  stop();
  EXPECT_EQ(ledger_faults(relay.database()), "");
  EXPECT_NE(relay.command("account show me").find("8.80"), std::string::npos) << "three jobs, each paid once";
}

struct a_second_simulator {
  running_simulator second;
};
struct restore_with_two_upstreams : a_second_simulator, restore {
  restore_with_two_upstreams()
      : restore("[[upstream]]\nname = \"second\"\nurl = \"" + second.url() + "\"\nkey = \"luma-sim-key\"\n") {
  }
};

TEST_F(restore_with_two_upstreams, what_one_of_them_must_have_goes_out_to_no_other) {
  const std::string base = create("the beginning");
  wait_until_completed(base);
  ASSERT_EQ(sim.created(), 1);
  gate.refuse_new();
  gate.cut_all();
  const response r =
      me().post(generations,
                R"({"prompt":"go on","keyframes":{"frame0":{"type":"generation","id":")" + base + R"("}}})");
  ASSERT_EQ(r.status, 201) << r.body;
  const std::string next(text_of(r.json().as_object(), "id"));
  relay.command("backup " + copy);
  relay.kill();
  relay.command("restore " + copy);
  ASSERT_TRUE(relay.start()) << relay.log_tail();
  EXPECT_NE(relay.command("task list --state held").find(next), std::string::npos);
  relay.command("task release " + next);
  // The second takes jobs, and this one passes it by.
  const std::string other = create("anywhere");
  wait_until_completed(other);
  EXPECT_EQ(second.created(), 1);
  gate.let_through();
  wait_until_completed(next);
  EXPECT_EQ(second.created(), 1);
  EXPECT_EQ(sim.created(), 2);
}

TEST_F(restore, what_is_no_backup_of_ours_changes_nothing) {
  const std::string id = create("job");
  wait_until_completed(id);
  stop();
  std::ofstream(dir.file("other.db")) << "SQLite format 3";
  for (const char* from : {"other.db", "nowhere.db", "relay.db"}) {
    relay.command("restore " + dir.file(from));
    EXPECT_FALSE(std::filesystem::exists(relay.database() + ".before-restore-1")) << from;
  }
  ASSERT_TRUE(relay.start()) << relay.log_tail();
  EXPECT_EQ(me().get(generations + "/" + id).status, 200);
}

}  // namespace
}  // namespace relay::test
