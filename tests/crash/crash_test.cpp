// The relay is killed at random times under load, and at every step of a job's way; then what clients were
// told, the table, the ledger, the upstream's log and the callbacks received are compared.
//   RELAY_KILLS=500 crash_tests --gtest_filter=crash.loop    the long form

#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <fstream>
#include <map>
#include <mutex>
#include <random>
#include <set>
#include <thread>

#include "server/admin/admin_socket.hpp"
#include "storage/migrations.hpp"
#include "storage/sqlite/db.hpp"
#include "storage/sqlite/sqlite_store.hpp"
#include "tests/support/child_relay.hpp"
#include "tests/support/file_changes.hpp"
#include "tests/support/ledger_check.hpp"
#include "tests/support/receiver.hpp"
#include "tests/support/running.hpp"

namespace relay::test {
namespace {

const std::string generations = "/dream-machine/v1/generations";

// What an upstream was asked to create, by the task whose marker it carries.
struct bought {
  int posts = 0;
  int jobs = 0;
};

std::map<std::string, bought> purchases(const json::object& log) {
  std::map<std::string, bought> out;
  for (const json::value& entry : log.at("creates").as_array()) {
    const json::object& e = entry.as_object();
    const std::string url(text_of(e.at("body").as_object(), "callback_url"));
    const auto from = url.find("/callbacks/");
    bought& b = out[from == std::string::npos ? "?" : url.substr(from + 11, 36)];
    ++b.posts;
    b.jobs += e.at("id").is_string();
  }
  return out;
}

struct row {
  std::string id, state, callbacks;
};

// The tasks in a database, read on one connection that stays open.
class task_rows {
 public:
  explicit task_rows(const std::string& database)
      : db_(std::move(*sqlite::db::open(database, sqlite::role::reader))),
        all_(db_.prepare("SELECT task_id,status,pending_callbacks FROM task ORDER BY id")),
        unfinished_(
            db_.prepare("SELECT 1 FROM task WHERE status IN ('pending','submitting','queued','running') "
                        "UNION ALL SELECT 1 FROM task WHERE next_callback_at>0 LIMIT 1")) {}

  std::vector<row> all() {
    const sqlite::use guard(all_);
    std::vector<row> out;
    for (;;) {
      const auto more = all_.step();
      EXPECT_TRUE(more);
      if (!more || !*more) return out;
      out.push_back({std::string(all_.text(0)), std::string(all_.text(1)), std::string(all_.text(2))});
    }
  }
  // Some task has not ended, or has a callback pending.
  bool unfinished() {
    const sqlite::use guard(unfinished_);
    return unfinished_.step().value_or(true);
  }

 private:
  sqlite::db db_;
  sqlite::statement all_, unfinished_;
};

std::size_t task_count(const std::string& database) {
  auto d = sqlite::db::open(database, sqlite::role::reader);
  EXPECT_TRUE(d);
  auto s = d->prepare("SELECT count(*) FROM task");
  EXPECT_TRUE(s.step().value_or(false));
  return static_cast<std::size_t>(s.integer(0));
}

// Until every task has ended and no callback is pending: looks again when the relay has written something.
std::vector<row> settle(child_relay& relay, std::chrono::seconds at_most) {
  const auto give_up = std::chrono::steady_clock::now() + at_most;
  const std::string& database = relay.database();
  file_changes changes(database.substr(0, database.rfind('/')));
  task_rows rows(database);
  while (rows.unfinished() && changes.wait_until(give_up)) {
  }
  return rows.all();
}

// Why tasks failed, and how many.
std::string reasons_in(const std::string& database) {
  auto d = sqlite::db::open(database, sqlite::role::reader);
  EXPECT_TRUE(d);
  auto s = d->prepare("SELECT fail_reason,count(*) FROM task WHERE status='failed' GROUP BY 1");
  std::string out;
  while (s.step().value_or(false)) out += std::to_string(s.integer(1)) + " " + std::string(s.text(0)) + "\n";
  return out;
}

int setting(const char* name, int otherwise) {
  const char* text = std::getenv(name);
  return text != nullptr ? std::atoi(text) : otherwise;
}

TEST(crash, loop) {
  const int kills = setting("RELAY_KILLS", RELAY_SHORT_KILLS);
  temp_dir dir;
  sim::options o;
  o.queued_for = milliseconds(30);
  o.dreams_for = milliseconds(60);
  o.max_log = 1'000'000;
  o.list_page = 25;
  o.list_fails = 28;
  running_simulator sim(o);
  receiver hook;
  child_relay relay(dir, free_port(), sim.url(), "max_concurrent = 100000\n[[price]]\nprice = \"0.40\"\n");
  const std::string token = relay.command("token create --name load");
  ASSERT_FALSE(token.empty());
  // One that has never enough: some of its creates are refused, whatever is killed meanwhile.
  const std::string poor = relay.command("token create --name poor");
  for (const char* name : {"load", "poor"}) relay.command(std::string("account set --prepaid ") + name);
  relay.command("account topup load 1000000");

  std::atomic<bool> over = false;
  std::mutex mutex;
  std::set<std::string> acknowledged;                   // guarded by mutex: ids in answers
  std::map<std::string, std::set<std::string>> by_key;  // guarded by mutex: ids that a key was answered with
  std::condition_variable came;                         // an answer; with mutex
  int answered = 0;                                     // guarded by mutex
  std::atomic<int> refused = 0, not_covered = 0;
  std::atomic<bool> up = false;  // the relay listens, as far as the harness knows
  const auto load = [&](int worker) {
    std::minstd_rand random(static_cast<unsigned>(worker) + 1);
    for (int n = 0; !over; ++n) {
      const std::string key = std::to_string(worker) + "-" + std::to_string(n);
      // Some answers of the upstream are lost, too.
      const char* ways[] = {"", "", "", "", "", "", " #cut", " #garbage", " #answer-502", " #refuse-429"};
      const std::string body = R"({"prompt":"job )" + key + ways[random() % 10] + R"(","callback_url":")" +
                               hook.url("/" + key) + R"("})";
      const bool with_key = random() % 2 == 0;
      for (int send = 0; send < (with_key ? 1'000'000 : 1) && !over; ++send) {
        try {
          std::vector<std::string> headers;
          if (with_key) headers.push_back("Idempotency-Key: " + key);
          const bool has_little = !with_key && random() % 3 == 0;
          const response r =
              client(relay.port(), has_little ? poor : token).request("POST", generations, body, headers);
          not_covered += r.status == 402;
          if (r.status != 201) {
            ++refused;
            continue;
          }
          const std::string id(text_of(r.json().as_object(), "id"));
          const std::lock_guard lock(mutex);
          ++answered;
          came.notify_one();
          acknowledged.insert(id);
          if (with_key) by_key[key].insert(id);
          break;
        } catch (const std::exception&) {  // killed meanwhile: a client with a key sends it again
          up.wait(false);
        }
      }
    }
  };
  ASSERT_TRUE(relay.start());
  up = true;
  std::vector<std::jthread> workers;
  for (int i = 0; i < 3; ++i) workers.emplace_back(load, i);
  std::minstd_rand random(4711);
  for (int i = 0; i < kills; ++i) {
    // A kill comes after some answers, not after some time.
    {
      std::unique_lock lock(mutex);
      const int until = answered + static_cast<int>(random() % 40);
      came.wait_for(lock, std::chrono::seconds(30), [&] { return answered >= until; });
    }
    up = false;
    relay.kill();
    const bool started = relay.start();
    if (!started) over = true;
    up = true;
    up.notify_all();
    ASSERT_TRUE(started) << relay.log_tail();
    relay.command("account topup poor 1.3");
  }
  over = true;
  workers.clear();

  // Lost responses are looked up in a list that grows with the jobs.
  const std::vector<row> all = settle(relay, std::chrono::seconds(90 + 2 * kills));
  std::map<std::string, std::string> state;
  for (const row& r : all) state[r.id] = r.state;
  int lost = 0, duplicates = 0, unfinished = 0, orphans = 0, failed = 0;
  for (const std::string& id : acknowledged) lost += !state.contains(id);
  for (const auto& [id, s] : state) {
    unfinished += s != "completed" && s != "failed";
    failed += s == "failed";
  }
  const auto bills = purchases(sim.log());
  for (const auto& [id, b] : bills) {
    duplicates += b.jobs > 1;
    orphans += b.jobs > 0 && state[id] != "completed";
  }
  int two_for_a_key = 0;
  for (const auto& [key, ids] : by_key) two_for_a_key += ids.size() > 1;

  // Callbacks: every task's end was told, and its messages come in order.
  std::map<std::string, std::vector<receiver::message>> told;
  for (const receiver::message& m : hook.received()) told[std::string(text_of(m.json(), "id"))].push_back(m);
  int callbacks_missing = 0, out_of_order = 0;
  for (const auto& [id, s] : state) {
    int number = 0;
    std::string last;
    for (const receiver::message& m : told[id]) {
      const int n = std::stoi(m.id().substr(m.id().rfind('_') + 1));
      out_of_order += n < number;
      number = n;
      last = m.state();
    }
    callbacks_missing += last != s;
  }
  std::printf(
      "%d kills: %zu jobs acknowledged, %zu on disk (%d failed), %zu billed; lost %d, billed twice %d, "
      "bought "
      "and not followed %d, unfinished %d, two jobs for one key %d; %zu callbacks, missing %d, out of order "
      "%d; %d creates were not covered\n",
      kills, acknowledged.size(), all.size(), failed, bills.size(), lost, duplicates, orphans, unfinished,
      two_for_a_key, hook.received().size(), callbacks_missing, out_of_order, not_covered.load());
  EXPECT_GT(acknowledged.size(), static_cast<std::size_t>(kills));
  EXPECT_EQ(lost, 0);
  EXPECT_EQ(duplicates, 0);
  EXPECT_EQ(orphans, 0) << reasons_in(relay.database());
  EXPECT_EQ(unfinished, 0) << relay.log_tail();
  EXPECT_EQ(two_for_a_key, 0);
  EXPECT_EQ(callbacks_missing, 0);
  EXPECT_EQ(out_of_order, 0);
  EXPECT_EQ(ledger_faults(relay.database()), "");
  EXPECT_GT(not_covered, 0);
}

const char* const places[] = {
    "nowhere",
    "inserted, not sent",
    "before the first byte to a peer",
    "half sent to a peer",
    "sent to a peer, no response",
    "response to a create read, not saved",
    "committed, no response sent",
    "saved, no response sent",
    "callback pending, not sent",
    "callback delivered, not recorded",
    "in the drain",
    "before a checkpoint",
};

struct upstream_way {
  const char* prompt;
  int created;  // jobs there are in the end
};

const upstream_way ways[] = {
    {"a job", 1},       {"#cut", 1},        {"#hang", 1},       {"#garbage", 1},
    {"#answer-502", 1}, {"#answer-503", 1}, {"#answer-504", 1}, {"#drop", 0},
    {"#refuse-502", 0}, {"#refuse-429", 0}, {"#refuse-400", 0},
};

class at_every_place : public ::testing::TestWithParam<const char*> {};

void kill_and_follow(child_relay& relay, const temp_dir& dir, const running_simulator& sim,
                     const receiver& hook, const std::string& place, const upstream_way& way) {
  const std::string where = place + ", " + way.prompt;
  const std::string token = relay.command("token create --name one");
  // A job from before: by it the upstream's list shows that it echoes markers, so absence can be proven.
  ASSERT_TRUE(relay.start()) << where << relay.log_tail();
  const std::string before(text_of(
      client(relay.port(), token).post(generations, R"({"prompt":"a job from before"})").json().as_object(),
      "id"));
  settle(relay, std::chrono::seconds(20));
  relay.kill();
  // Whatever the relay has written before is not the job: its first own commit is the clean-up at the
  // start.
  const std::string number = place == "committed, no response sent" ? "3 " : "1 ";
  ASSERT_TRUE(relay.start(number + place)) << where << relay.log_tail();
  std::string acknowledged;
  try {
    const response r = client(relay.port(), token)
                           .post(generations, R"({"prompt":")" + std::string(way.prompt) +
                                                  R"(","callback_url":")" + hook.url() + R"("})");
    if (r.status == 201) acknowledged = text_of(r.json().as_object(), "id");
  } catch (const std::exception&) {
  }
  const bool at_the_stop = place == "in the drain" || place == "before a checkpoint";
  if (at_the_stop) relay.ask_to_stop();
  // It may be killed now or a little later; a job that is not killed comes to its end.
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  file_changes changes(dir.file(""));
  task_rows rows(relay.database());
  while (relay.running()) {
    if (!at_the_stop && rows.all().size() > 1 && !rows.unfinished()) break;
    if (!changes.wait_until(give_up, relay.end())) break;
  }
  relay.kill();
  ASSERT_TRUE(relay.start()) << where << relay.log_tail();
  // Others go on: a list that shows them is known to be fresh, so absence can be proven.
  std::set<std::string> others{before};
  const client other(relay.port(), token);
  const auto ended = [&](const row& r) {
    return others.contains(r.id) || ((r.state == "completed" || r.state == "failed") && r.callbacks.empty());
  };
  for (int i = 0; i < 500 && !std::ranges::all_of(task_rows(relay.database()).all(), ended); ++i) {
    const response r = other.post(generations, R"({"prompt":"a job from after"})");
    const std::string id(text_of(r.json().as_object(), "id"));
    others.insert(id);
    wait_for_state(other, generations + "/" + id, "completed");
  }
  const auto all = settle(relay, std::chrono::seconds(20));
  bool found = acknowledged.empty();
  for (const row& r : all) {
    EXPECT_TRUE(r.state == "completed" || r.state == "failed")
        << where << ": " << r.state << relay.log_tail();
    EXPECT_EQ(r.callbacks, "") << where;
    found = found || r.id == acknowledged;
  }
  EXPECT_TRUE(found) << where << ": acknowledged and lost";
  int jobs = 0;
  for (const auto& [id, b] : purchases(sim.log())) {
    if (others.contains(id)) continue;
    EXPECT_LE(b.jobs, 1) << where << ": billed twice";
    jobs += b.jobs;
    if (way.created > 0) {
      EXPECT_LE(b.posts, 1) << where;
    }
  }
  EXPECT_LE(jobs, 1) << where;
  const auto received = hook.received();
  for (const row& r : all) {
    if (others.contains(r.id)) continue;
    EXPECT_TRUE(std::ranges::any_of(
        received,
        [&](const receiver::message& m) { return text_of(m.json(), "id") == r.id && m.state() == r.state; }))
        << where << ": its client was not told of the end";
    EXPECT_EQ(r.state, way.created > 0 ? "completed" : "failed") << where << relay.log_tail();
    EXPECT_EQ(jobs, way.created) << where << relay.log_tail();
  }
}

void kill_at(const std::string& place, const upstream_way& way) {
  temp_dir dir;
  sim::options o;
  o.queued_for = milliseconds(30);
  o.dreams_for = milliseconds(60);
  running_simulator sim(o);
  receiver hook;
  child_relay relay(dir, free_port(), sim.url());
  // On a thread of the test: an exception must not end the process, and leave relays behind.
  try {
    kill_and_follow(relay, dir, sim, hook, place, way);
  } catch (const std::exception& e) {
    ADD_FAILURE() << place << ", " << way.prompt << ": " << e.what() << relay.log_tail();
  }
}

// Each way has a relay, an upstream and a client's host of its own: they wait beside each other.
TEST_P(at_every_place, nothing_is_billed_twice_and_everything_ends) {
  std::atomic<std::size_t> next = 0;
  const auto work = [&] {
    for (std::size_t i = next++; i < std::size(ways); i = next++) kill_at(GetParam(), ways[i]);
  };
  std::vector<std::jthread> workers;
  for (int i = 0; i < 4; ++i) workers.emplace_back(work);
}

INSTANTIATE_TEST_SUITE_P(crash, at_every_place, ::testing::ValuesIn(places), [](const auto& info) {
  std::string name;
  for (const char ch : std::string(info.param)) name += std::isalnum(ch) != 0 ? ch : '_';
  return name;
});

// A shop sends its top-up again, because the relay was killed before it answered.
TEST(crash, a_topup_with_a_key_is_made_once) {
  temp_dir dir;
  running_simulator sim;
  child_relay relay(dir, free_port(), sim.url());
  relay.command("account create shop");
  const auto topup = [&](const std::string& key) {
    const socket_address at(admin_socket_path(relay.database()));
    connection c(at.endpoint());
    return exchange_on(c, "POST", "/admin/v1/accounts/shop/topup", R"({"amount":"25"})", {},
                       {"Idempotency-Key: " + key});
  };
  ASSERT_TRUE(relay.start("1 an admin change made, its response not kept")) << relay.log_tail();
  EXPECT_THROW(topup("order-1"), std::runtime_error);
  relay.wait();
  ASSERT_TRUE(relay.start()) << relay.log_tail();
  const response again = topup("order-1");
  EXPECT_EQ(again.status, 409) << again.body;
  EXPECT_EQ(text_of(again.json().as_object(), "code"), "idempotency_interrupted");
  EXPECT_TRUE(text_of(again.json().as_object(), "detail").contains("topUpAccount of account/shop"))
      << again.body;
  EXPECT_EQ(topup("order-2").status, 200);
  const response repeated = topup("order-2");
  EXPECT_EQ(repeated.header("idempotent-replayed"), "true");
  EXPECT_EQ(text_of(repeated.json().as_object(), "balance_after"), "50.00") << "each of the two once";
  EXPECT_EQ(ledger_faults(relay.database()), "");
}

// A first start that is cut off leaves no database, and the next one makes it.
TEST(crash, in_the_making_of_a_database) {
  temp_dir dir;
  running_simulator sim;
  child_relay relay(dir, free_port(), sim.url());
  for (const char* fault :
       {"1 before a migration", "1 in a migration", "1 a new database is not in its place yet"}) {
    EXPECT_FALSE(relay.start(fault)) << fault;
    EXPECT_FALSE(std::filesystem::exists(relay.database())) << fault;
  }
  ASSERT_TRUE(relay.start()) << relay.log_tail();
  EXPECT_TRUE(std::filesystem::exists(relay.database()));
}

// A database of an earlier release, and the relay killed before and in the middle of each step that brings it
// up to date: what was there is there, and goes on.
TEST(crash, in_a_migration) {
  for (int release = 1; release <= 3; ++release) {
    temp_dir dir;
    running_simulator sim;
    child_relay relay(dir, free_port(), sim.url());
    const std::string sql_file = std::string(SCHEMA_DIR) + "/schema_" + std::to_string(release) + ".sql";
    std::ifstream in(sql_file);
    const std::string sql{std::istreambuf_iterator<char>(in), {}};
    {
      auto d = sqlite::db::open(relay.database(), sqlite::role::writer);
      ASSERT_TRUE(d);
      ASSERT_TRUE(d->run(sql.c_str()));
    }
    const std::size_t rows = task_count(relay.database());
    ASSERT_GT(rows, 0u);
    for (std::size_t i = static_cast<std::size_t>(release); i < migrations().size(); ++i) {
      EXPECT_FALSE(relay.start("1 before a migration")) << release;
      EXPECT_FALSE(relay.start("1 in a migration")) << release;
      EXPECT_EQ(task_count(relay.database()), rows) << release;
      // One step further, and no more: the next is cut off in its turn.
      if (i + 1 < migrations().size()) EXPECT_FALSE(relay.start("2 before a migration")) << release;
    }
    // The copy that the first of these starts has kept is whole, and of the schema it was.
    auto copy =
        sqlite::db::open(relay.database() + ".schema-" + std::to_string(release), sqlite::role::reader);
    ASSERT_TRUE(copy);
    EXPECT_EQ(sqlite::schema_version(*copy).value(), release);
    EXPECT_EQ(task_count(relay.database() + ".schema-" + std::to_string(release)), rows);
    ASSERT_TRUE(relay.start()) << relay.log_tail();
    EXPECT_NE(relay.command("token list").find("a "), std::string::npos);
    const std::string list = relay.command("task list");
    EXPECT_EQ(static_cast<std::size_t>(std::ranges::count(list, '\n')), rows) << list;
    if (release == 2) {
      // The pending one goes out; the submission that was under way when its process ended is looked up, not
      // sent again.
      file_changes changes(dir.file(""));
      task_rows now(relay.database());
      const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(20);
      const auto is_on_its_way = [&now] {
        const std::string state = now.all().at(0).state;
        return state == "pending" || state == "submitting";
      };
      while (is_on_its_way() && changes.wait_until(give_up)) {
      }
      EXPECT_EQ(sim.log().at("creates").as_array().size(), 1u);
      EXPECT_NE(relay.command("task list --state ambiguous").find("000000000003"), std::string::npos);
    }
  }
}

}  // namespace
}  // namespace relay::test
