// Parts of the server that need a loop and no socket: watch, the replies that are kept, deadlines, the
// janitor, and the operator's commands. The store is the one that answers every read one loop turn later.

#include <gtest/gtest.h>

#include <boost/asio/post.hpp>

#include "common/engine/callbacks.hpp"
#include "server/admin/admin_api.hpp"
#include "server/await_store.hpp"
#include "server/background/janitor.hpp"
#include "server/background/wake_timer.hpp"
#include "server/clock.hpp"
#include "server/descriptors.hpp"
#include "server/disk.hpp"
#include "server/http/deadline.hpp"
#include "server/log.hpp"
#include "server/rendered.hpp"
#include "server/watch.hpp"
#include "tests/support/luma.hpp"
#include "tests/support/memory_store.hpp"
#include "tests/support/temp_dir.hpp"

namespace relay::test {
namespace {

// A loop that is run by hand.
class parts : public ::testing::Test {
 protected:
  store_hooks hooks() {
    store_hooks h;
    h.post = [this](std::move_only_function<void()> f) { asio::post(loop_, std::move(f)); };
    return h;
  }
  // Runs what is ready now, and no more.
  void turn() {
    loop_.poll();
    loop_.restart();
  }
  // Runs until the coroutine has ended.
  template <class T>
  T run(awaitable<T> work) {
    std::optional<T> out;
    asio::co_spawn(loop_.get_executor(), std::move(work), [&out](std::exception_ptr e, T v) {
      if (e) std::rethrow_exception(e);
      out = std::move(v);
    });
    loop_.restart();
    while (!out) loop_.run_one();
    loop_.restart();
    return std::move(*out);
  }
  static task_ptr at_revision(std::int64_t revision, task_state state = task_state::queued,
                              int progress = -1) {
    task t = luma_task();
    t.id = "t-1";
    t.revision = revision;
    t.state = state;
    t.progress = progress;
    t.request = R"({"prompt":"abc"})";
    return std::make_shared<const task>(t);
  }

  asio::io_context loop_{1};
};

// ---- watch

class watch_test : public parts {
 protected:
  // Waits for a task that has completed; what it ended in lands in got_.
  void begin_to_wait(watch::on_drain how, steady_clock::duration at_most = std::chrono::hours(1)) {
    waiter_.emplace(watch_, "t-1");
    const auto ended = [](const task& t) { return is_terminal(t.state); };
    auto wait = waiter_->until(ended, steady_clock::now() + at_most, how);
    asio::co_spawn(loop_.get_executor(), std::move(wait),
                   [this](std::exception_ptr, task_ptr t) { got_ = t; });
    turn();
  }
  watch watch_{loop_};
  std::optional<watch::waiter> waiter_;
  std::optional<task_ptr> got_;
};

TEST_F(watch_test, wakes_when_the_change_is_enough) {
  begin_to_wait(watch::on_drain::leave);
  EXPECT_FALSE(got_);
  watch_.notify(at_revision(2));
  turn();
  EXPECT_FALSE(got_) << "a change, but not the one";
  watch_.notify(at_revision(3, task_state::completed));
  turn();
  ASSERT_TRUE(got_);
  EXPECT_EQ((*got_)->revision, 3);
}

TEST_F(watch_test, a_change_between_the_making_of_the_waiter_and_the_wait_is_seen) {
  waiter_.emplace(watch_, "t-1");
  watch_.notify(at_revision(2, task_state::failed));
  auto wait = waiter_->until([](const task&) { return true; }, steady_clock::now() + std::chrono::hours(1),
                             watch::on_drain::leave);
  asio::co_spawn(loop_.get_executor(), std::move(wait), [this](std::exception_ptr, task_ptr t) { got_ = t; });
  turn();
  ASSERT_TRUE(got_);
  EXPECT_EQ((*got_)->revision, 2);
}

TEST_F(watch_test, other_tasks_wake_nobody) {
  begin_to_wait(watch::on_drain::leave);
  auto other = *at_revision(9, task_state::completed);
  other.id = "t-2";
  watch_.notify(std::make_shared<const task>(other));
  turn();
  EXPECT_FALSE(got_);
  watch_.close();
  turn();
  EXPECT_TRUE(got_);
}

TEST_F(watch_test, the_end_of_the_time_is_an_end) {
  begin_to_wait(watch::on_drain::stay, std::chrono::milliseconds(1));
  while (!got_) loop_.run_one();
  EXPECT_EQ(*got_, nullptr) << "no change was seen";
}

TEST_F(watch_test, when_the_relay_stops_only_creates_wait_on) {
  begin_to_wait(watch::on_drain::stay);
  watch_.drain();
  turn();
  EXPECT_FALSE(got_);
  watch_.notify(at_revision(2, task_state::completed));
  turn();
  ASSERT_TRUE(got_);
  got_.reset();
  begin_to_wait(watch::on_drain::leave);
  ASSERT_TRUE(got_) << "one that only follows does not even begin";
}

TEST_F(watch_test, many_tasks_are_notified_together) {
  watch::waiter many(watch_, std::vector<std::string>{"t-1", "t-2"});
  auto second = *at_revision(5);
  second.id = "t-2";
  watch_.notify(at_revision(2));
  watch_.notify(at_revision(3));
  watch_.notify(std::make_shared<const task>(second));
  std::optional<std::vector<task_ptr>> changed;
  auto wait = many.changes(std::chrono::hours(1));
  asio::co_spawn(loop_.get_executor(), std::move(wait),
                 [&changed](std::exception_ptr, std::vector<task_ptr> t) { changed = std::move(t); });
  turn();
  ASSERT_TRUE(changed);
  ASSERT_EQ(changed->size(), 2u);
  EXPECT_EQ(changed->at(0)->revision, 3) << "the newest, once";
  EXPECT_EQ(changed->at(1)->id, "t-2");
}

// ---- the replies that are kept

std::atomic<int> renderings = 0;
result<std::string> count_and_render(const task& t, const showing&) {
  ++renderings;
  if (t.state == task_state::failed) return fail(errc::invalid_request, "not there");
  return std::to_string(t.revision) + std::string(static_cast<std::size_t>(std::max(0, t.progress)), 'x');
}
std::string_view one_word(task_state) {
  return "w";
}
const task_form counted = {"counted", one_word, count_and_render, [](const task&) { return false; }};
const task_form timed = {"timed", one_word, count_and_render, [](const task&) { return true; }};

TEST(rendered_tasks, are_kept_when_a_revision_is_asked_for_again) {
  rendered_tasks kept(100'000);
  renderings = 0;
  task t = luma_task();
  t.id = "t-1";
  t.revision = 1;
  EXPECT_EQ(kept.get(counted, t, {}).value(), "1");
  EXPECT_EQ(kept.get(counted, t, {}).value(), "1");
  EXPECT_EQ(renderings, 2) << "what is asked for once is not kept";
  EXPECT_EQ(kept.get(counted, t, {}).value(), "1");
  EXPECT_EQ(renderings, 2);
  t.revision = 2;
  EXPECT_EQ(kept.get(counted, t, {}).value(), "2");
  EXPECT_EQ(kept.get(counted, t, {}).value(), "2");
  EXPECT_EQ(kept.get(counted, t, {}).value(), "2");
  EXPECT_EQ(renderings, 4);
  task older = t;
  older.revision = 1;
  for (int i = 0; i < 3; ++i)
    EXPECT_EQ(kept.get(counted, older, {}).value(), "1") << "what it says is of the revision that was given";
  EXPECT_EQ(renderings, 7);
  EXPECT_EQ(kept.get(counted, t, {}).value(), "2");
  EXPECT_EQ(renderings, 7) << "an older revision does not push out the newer";
  for (int i = 0; i < 3; ++i) kept.get(timed, t, {}).value();
  EXPECT_EQ(renderings, 10) << "what depends on the time is made each time";
  t.revision = 3;
  t.state = task_state::failed;
  EXPECT_FALSE(kept.get(counted, t, {}));
  EXPECT_FALSE(kept.get(counted, t, {})) << "an error is not kept as a reply";
}

TEST(rendered_tasks, are_bounded_in_bytes) {
  rendered_tasks kept(20'000);
  task t = luma_task();
  t.revision = 1;
  t.progress = 5'000;
  for (int i = 0; i < 10; ++i) {
    t.id = "t-" + std::to_string(i);
    for (int again = 0; again < 2; ++again) kept.get(counted, t, {}).value();
  }
  renderings = 0;
  for (int i = 0; i < 10; ++i) {
    t.id = "t-" + std::to_string(9 - i);
    kept.get(counted, t, {}).value();
  }
  EXPECT_GE(renderings, 6) << "not all of them were kept";
  EXPECT_LT(renderings, 10) << "but some";
  rendered_tasks nothing(0);
  renderings = 0;
  for (int i = 0; i < 3; ++i) nothing.get(counted, t, {}).value();
  EXPECT_EQ(renderings, 3);
}

// ---- deadlines

class deadlines_test : public parts {
 protected:
  struct counted_entry {
    counted_entry(deadlines& d) : entry(d, [](void* n) { ++*static_cast<int*>(n); }, &fired) {}
    int fired = 0;
    deadlines::entry entry;
  };
  deadlines all_{loop_};
};

TEST_F(deadlines_test, fire_once_and_only_when_armed) {
  counted_entry a(all_), b(all_), c(all_);
  a.entry.arm(std::chrono::milliseconds(1));
  b.entry.arm(std::chrono::hours(1));
  asio::co_spawn(loop_.get_executor(), all_.run(), asio::detached);
  while (a.fired == 0) loop_.run_one();
  all_.stop();
  loop_.run();
  EXPECT_EQ(a.fired, 1);
  EXPECT_EQ(b.fired, 0);
  EXPECT_EQ(c.fired, 0) << "never armed";
}

TEST_F(deadlines_test, expire_all_ends_every_wait_that_begins_later_too) {
  counted_entry a(all_), b(all_);
  a.entry.arm(std::chrono::hours(1));
  all_.expire_all();
  EXPECT_EQ(a.fired, 1);
  EXPECT_EQ(b.fired, 0);
  EXPECT_TRUE(all_.expiring());
  b.entry.arm(std::chrono::hours(1));
  asio::co_spawn(loop_.get_executor(), all_.run(), asio::detached);
  while (b.fired == 0) loop_.run_one();
  EXPECT_EQ(a.fired, 1);
}

// One that fires may end the others: a connection that closes takes its neighbours' entries with it.
TEST_F(deadlines_test, an_entry_may_go_away_while_others_fire) {
  struct owner {
    std::vector<std::unique_ptr<deadlines::entry>> entries;
    int fired = 0;
  } o;
  const auto end_them_all = [](void* p) {
    auto& all = *static_cast<owner*>(p);
    ++all.fired;
    all.entries.clear();
  };
  for (int i = 0; i < 5; ++i) {
    o.entries.push_back(std::make_unique<deadlines::entry>(all_, end_them_all, &o));
    o.entries.back()->arm(std::chrono::hours(1));
  }
  counted_entry last(all_);
  all_.expire_all();
  EXPECT_EQ(o.fired, 1) << "the rest was gone";
}

// ---- the sleep of background loops

class wake_timer_test : public parts {
 protected:
  // True if a sleep until `at` has ended within what is ready now.
  bool sleeps(timestamp at) {
    bool ended = false;
    asio::co_spawn(loop_.get_executor(), timer_.wait(t0_, at),
                   [&ended](std::exception_ptr) { ended = true; });
    turn();
    if (!ended) {
      timer_.notify();
      turn();
      EXPECT_TRUE(ended) << "notify() ends every sleep";
      return true;
    }
    return false;
  }
  const timestamp t0_{std::chrono::hours(1'000)};
  wake_timer timer_{loop_};
};

TEST_F(wake_timer_test, what_was_announced_while_the_loop_was_at_work_is_not_missed) {
  EXPECT_TRUE(sleeps(t0_ + std::chrono::seconds(1)));
  timer_.notify_by(t0_);  // the loop reads its schedule just now, and may have read it before this was saved
  EXPECT_FALSE(sleeps(t0_ + std::chrono::seconds(1)));
  EXPECT_TRUE(sleeps(never)) << "once";
  timer_.notify();
  EXPECT_FALSE(sleeps(never));
}

// ---- the janitor and the operator's commands, on a store

class with_store : public parts {
 protected:
  with_store() {
    account owner;
    owner.name = "alice";
    owner.webhook = secret("s");
    owner = run(from_store(*store_, &store::write_account, owner, audit_ptr{})).value();
    owner_ = owner.id;
    accounts_.put(owner);
    token t;
    t.account = owner_;
    t.name = "alice";
    with_ = run(from_store(*store_, &store::insert_token, t, audit_ptr{})).value().id;
  }
  task_ptr add(const std::string& id, task_state state, timestamp finished = never) {
    task t = luma_task();
    t.id = id;
    t.owner = owner_;
    t.token = with_;
    t.request = R"({"prompt":"abc"})";
    t.state = state;
    t.created_at = t.updated_at = timestamp(std::chrono::hours(1));
    t.finished_at = finished;
    if (state == task_state::pending) t.next_submit_at = now() + std::chrono::hours(1);
    if (state == task_state::completed) t.callback_url = "https://e.x/";
    idempotency_record r;
    r.digest = sha256(id);
    relay::change c{nullptr, t, r};
    return run(from_store(*store_, &store::write, std::move(c))).value().value;
  }
  task_ptr load(const std::string& id) { return run(load_task(*store_, id)).value(); }
  // As the command line runs it when no relay has the database.
  struct answer {
    int status = 0;
    json::object body;
    std::string detail() const { return std::string(text_of(body, "detail")); }
  };
  answer admin(http::verb method, const std::string& path, const json::object& body = {}) {
    const std::string whole = std::string(admin_prefix) + path.substr(0, path.find('?'));
    const std::string text = body.empty() ? "" : json::serialize(body);
    const http::header_fields none;
    http::request r;
    r.method = method;
    r.target = r.path = whole;
    if (const auto question = path.find('?'); question != path.npos)
      r.query = std::string_view(path).substr(question + 1);
    r.body = text;
    r.headers = &none;
    const http::reply out = run(api_.handle(r, true));
    return {out.status, parse_lenient(out.body).value().as_object()};
  }

  temp_dir dir_;
  std::unique_ptr<store> store_ = open_memory_store(dir_.file("db"), hooks());
  std::shared_ptr<spdlog::logger> log_ = silent_logger();
  billing billing_{config{}};
  task_changes changes_{loop_, *store_, {}, billing_, *log_};
  account_registry accounts_;
  admin_tokens operators_;
  config settings_;
  admin_api api_{admin_context{loop_, settings_, *store_, changes_, accounts_, operators_, billing_, *log_}};
  std::int64_t owner_ = 0, with_ = 0;
};

TEST_F(with_store, the_janitor_deletes_what_is_old_and_nothing_else) {
  const timestamp time = now();
  const auto hours_ago = [time](int h) { return time - std::chrono::hours(h); };
  add("01936e4f-a1b2-7000-8000-000000000001", task_state::completed, hours_ago(3));
  add("01936e4f-a1b2-7000-8000-000000000002", task_state::completed, hours_ago(1));
  add("01936e4f-a1b2-7000-8000-000000000003", task_state::pending);
  janitor j(loop_, *store_, std::chrono::hours(2), *log_);
  asio::co_spawn(loop_.get_executor(), j.run(), asio::detached);
  for (int i = 0; i < 20; ++i) turn();
  EXPECT_FALSE(load("01936e4f-a1b2-7000-8000-000000000001"));
  EXPECT_TRUE(load("01936e4f-a1b2-7000-8000-000000000002")) << "too young";
  EXPECT_TRUE(load("01936e4f-a1b2-7000-8000-000000000003")) << "not ended";
  // Keys of creates made in 1970 are forgotten.
  idempotency_record r;
  r.digest = sha256("01936e4f-a1b2-7000-8000-000000000002");
  EXPECT_FALSE(run(from_store(*store_, &store::find_repeated, owner_, r)).value());
  j.stop();
  loop_.run();
}

TEST_F(with_store, the_janitor_keeps_tasks_unless_it_is_configured_to_delete_them) {
  add("01936e4f-a1b2-7000-8000-000000000001", task_state::completed, timestamp(std::chrono::hours(1)));
  janitor j(loop_, *store_, milliseconds(0), *log_);
  asio::co_spawn(loop_.get_executor(), j.run(), asio::detached);
  for (int i = 0; i < 20; ++i) turn();
  EXPECT_TRUE(load("01936e4f-a1b2-7000-8000-000000000001"));
  j.stop();
  loop_.run();
}

using http::verb;

TEST_F(with_store, tokens_by_request) {
  const answer made = admin(verb::post, "/tokens", {{"name", "bob"}});
  ASSERT_EQ(made.status, 201) << made.body;
  const std::string secret(text_of(made.body, "token"));
  EXPECT_TRUE(accounts_.authenticate("Bearer " + secret, now())) << "at once";
  EXPECT_EQ(admin(verb::post, "/tokens", {{"name", "bob"}}).status, 409);
  EXPECT_TRUE(admin(verb::post, "/tokens", {{"name", "no spaces"}}).detail().contains("1 to 64"));
  const json::object list = admin(verb::get, "/tokens").body;
  EXPECT_EQ(list.at("items").as_array().size(), 2u);
  EXPECT_FALSE(json::serialize(list).contains(secret)) << "never its text";
  const auto webhook = [&] {
    return std::string(text_of(admin(verb::get, "/accounts/bob/webhook-secret").body, "secret"));
  };
  const std::string first = webhook();
  EXPECT_TRUE(first.starts_with("whsec_"));
  EXPECT_EQ(webhook(), first);
  EXPECT_EQ(admin(verb::post, "/accounts/bob/webhook-secret/rotate").status, 200);
  EXPECT_NE(webhook(), first);
  EXPECT_EQ(admin(verb::post, "/tokens/*/bob/revoke").status, 200);
  EXPECT_FALSE(accounts_.authenticate("Bearer " + secret, now()));
  EXPECT_TRUE(admin(verb::post, "/tokens/*/bob/revoke").detail().contains("token list"));
  EXPECT_TRUE(admin(verb::get, "/accounts/carol").detail().contains("no account named"));
}

TEST_F(with_store, jobs_by_request) {
  const std::string pending = "01936e4f-a1b2-7000-8000-000000000001",
                    done = "01936e4f-a1b2-7000-8000-000000000002";
  add(pending, task_state::pending);
  add(done, task_state::completed, now());
  EXPECT_EQ(admin(verb::get, "/jobs").body.at("items").as_array().size(), 2u);
  const json::object one = admin(verb::get, "/jobs?state=pending&token=alice").body;
  ASSERT_EQ(one.at("items").as_array().size(), 1u);
  EXPECT_EQ(one.at("items").at(0).at("id"), json::string(pending));
  EXPECT_EQ(one.at("items").at(0).at("token"), "alice");
  EXPECT_TRUE(admin(verb::get, "/jobs?state=dancing").detail().starts_with("state: must be one of"));
  EXPECT_TRUE(admin(verb::get, "/jobs?token=nobody").detail().contains("no token named"));

  const json::object shown = admin(verb::get, "/jobs/" + done).body;
  EXPECT_EQ(shown.at("action"), "generations");
  EXPECT_EQ(shown.at("request").at("prompt"), "abc");
  EXPECT_TRUE(admin(verb::get, "/jobs/x").detail().starts_with("there is no task x"));

  EXPECT_TRUE(admin(verb::post, "/jobs/" + done + "/cancel").detail().contains("is completed"));
  EXPECT_EQ(admin(verb::post, "/jobs/" + pending + "/cancel").status, 200);
  EXPECT_EQ(load(pending)->state, task_state::failed);

  EXPECT_EQ(admin(verb::post, "/callbacks/" + done + "/retry").status, 200);
  EXPECT_EQ(load(done)->pending_callbacks, "c");
  EXPECT_TRUE(admin(verb::post, "/callbacks/" + pending + "/retry").detail().contains("no callback to send"));

  for (int i = 3; i < 9; ++i)
    add("01936e4f-a1b2-7000-8000-00000000000" + std::to_string(i), task_state::pending);
  EXPECT_EQ(admin(verb::post, "/cancellations").status, 400) << "all of them only when it is said";
  EXPECT_EQ(admin(verb::post, "/cancellations", {{"all", true}}).body.at("cancelled"), 6);
  EXPECT_EQ(admin(verb::post, "/sing").status, 404);
}

// ---- descriptors

TEST(descriptors, clients_get_what_nothing_else_needs) {
  config c;
  c.upstreams.resize(2);
  c.upstreams[0].max_connections = 100;
  c.upstreams[1].max_connections = 200;
  c.poll.concurrency = 50;
  c.callbacks.concurrency = 60;
  c.server.max_connections = 5'000;
  constexpr std::size_t others = 100 + 200 + 2 * 50 + 60;
  const descriptor_plan many = plan_descriptors(c, 1'000'000);
  EXPECT_GE(many.reserve, others + 64);
  EXPECT_EQ(many.clients, 5'000u);
  EXPECT_EQ(many.warning, "");
  const descriptor_plan some = plan_descriptors(c, 1'024);
  EXPECT_EQ(some.clients, 1'024 - some.reserve);
  EXPECT_NE(some.warning.find("ulimit -n"), std::string::npos) << some.warning;
  const descriptor_plan few = plan_descriptors(c, 256);
  EXPECT_GT(few.clients, 0u);
  EXPECT_LE(few.clients, 128u);
  EXPECT_EQ(raise_descriptor_limit(), descriptor_limit());
}

// ---- the one way to change a task

TEST_F(with_store, an_event_is_put_on_top_of_what_others_have_changed) {
  const std::string id = "01936e4f-a1b2-7000-8000-000000000001";
  const task_ptr first = add(id, task_state::pending);
  // Two at once: one of them finds another revision on disk, and loads again.
  std::vector<bool> changed;
  for (const char* name : {"a", "b"}) {
    task_event e = event::submit_expired{};
    if (*name == 'a') e = event::submit_started{"up", "", "attempt", "p"};
    auto work = changes_.apply(id, std::move(e));
    asio::co_spawn(loop_.get_executor(), std::move(work), [&changed](std::exception_ptr, result<applied> r) {
      ASSERT_TRUE(r);
      changed.push_back(r->changed());
    });
  }
  while (changed.size() < 2) loop_.run_one();
  EXPECT_EQ(std::ranges::count(changed, true), 1) << "the other event meant nothing by then";
  EXPECT_EQ(load(id)->revision, first->revision + 1);
  const auto gone = run(changes_.apply("no such task", event::cancelled{}));
  ASSERT_FALSE(gone);
  EXPECT_EQ(gone.error().code, errc::task_not_found);
}

// Between two looks at the disk what is taken counts all the same.
TEST(disk, jobs_that_were_taken_since_the_last_look_count) {
  const temp_dir dir;
  const auto log = silent_logger();
  disk watched(dir.file("relay.db"), disk_limits{.min_free = 1, .ballast = 0, .log = 0, .total = 1}, *log);
  watched.begin();
  ASSERT_GT(watched.free_bytes(), 1);
  EXPECT_EQ(watched.refusal(0), "");
  EXPECT_EQ(watched.refusal(watched.free_bytes() - 1), "");
  EXPECT_NE(watched.refusal(watched.free_bytes()), "");
}

}  // namespace
}  // namespace relay::test
