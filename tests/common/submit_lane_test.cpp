// Which upstream gets a job, and what the ends of submissions mean for each: circuits, limits that are
// learned, turns by weight, tasks that are held off.

#include <gtest/gtest.h>

#include <map>
#include <random>

#include "common/engine/submit_slots.hpp"
#include "common/luma/protocol_official.hpp"
#include "tests/support/luma.hpp"

namespace relay {
namespace {

using std::chrono::seconds;
using kind = submit_outcome::kind;

constexpr timestamp start{std::chrono::hours(1)};
const policy usual;

submit_outcome outcome(cause why, milliseconds cool_down = milliseconds{0}) {
  submit_outcome o{};
  o.what = why == cause::none ? kind::accepted : why == cause::lost ? kind::unknown : kind::unavailable;
  o.why = why;
  o.cool_down = cool_down;
  return o;
}

submit_lane lane(const char* name) {
  submit_lane l;
  l.name = name;
  l.careful = false;
  return l;
}

task job(std::string id = "t") {
  task t = test::luma_task();
  t.id = std::move(id);
  t.request = "{}";
  t.attempted_at = start;
  return t;
}

std::optional<std::size_t> chosen(std::span<const submit_lane> lanes, const task& t, timestamp now) {
  const auto c = choose(lanes, t, now);
  return c ? std::optional(c->lane) : std::nullopt;
}

// A submission that ends at once.
milliseconds one(submit_lane& l, timestamp now, const submit_outcome& o, const std::string& of = "t") {
  l.begin(now);
  ++l.open;
  const milliseconds pause = l.ended(o, of, now, now, usual);
  l.end(now);
  if (o.what != kind::accepted) --l.open;
  return pause;
}

TEST(submit_lane, the_first_that_can) {
  const timestamp now = start;
  std::vector<submit_lane> lanes = {lane("a"), lane("b"), lane("c")};
  for (int i = 0; i < 3; ++i) lanes[static_cast<std::size_t>(i)].rank = i;
  task t = job();
  EXPECT_EQ(chosen(lanes, t, now), 0u);
  lanes[0].cool_down_until = now + seconds(5);
  EXPECT_EQ(chosen(lanes, t, now), 1u);
  lanes[1].max_open = 2;
  lanes[1].open = 2;
  EXPECT_EQ(chosen(lanes, t, now), 2u);
  lanes[2].in_flight = lanes[2].max_in_flight;
  EXPECT_EQ(chosen(lanes, t, now), std::nullopt);
  EXPECT_EQ(next_available(lanes, now), lanes[0].cool_down_until);
  EXPECT_EQ(chosen(lanes, t, lanes[0].cool_down_until), 0u);
  t.pinned = true;
  t.upstream = "b";
  EXPECT_EQ(chosen(lanes, t, lanes[0].cool_down_until), std::nullopt);
  lanes[1].open = 1;
  EXPECT_EQ(chosen(lanes, t, now), 1u);
  t.pinned = false;
  t.action = &luma::actions::image;
  lanes[1].speaks = &luma::station_protocol;
  EXPECT_EQ(chosen(lanes, t, now), std::nullopt);
}

TEST(submit_lane, what_the_configuration_lets_an_upstream_take) {
  const task video = job();
  task image = job();
  image.action = &luma::actions::image;
  task flash = job();
  flash.request = R"({"model":"fast"})";
  submit_lane l = lane("a");
  l.speaks = &luma::official_protocol;
  l.with = std::make_shared<const outgoing_settings>(
      outgoing_settings{"ray-2", "", {{{"fast", "ray-flash-2"}}, {{"image", "photon-1"}}}});
  const auto says = [&l](const task& t) { return serves(l, t) ? "yes" : why_not(l, t); };
  EXPECT_EQ(says(video), "yes");
  l.actions = {"generations", "image"};
  EXPECT_EQ(says(video), "yes");
  l.actions = {"image"};
  EXPECT_EQ(says(video), "jobs of the kind generations are not taken");
  EXPECT_EQ(says(image), "yes");
  l.actions = {};
  l.models = {"ray-2"};
  EXPECT_EQ(says(video), "yes") << "the model of a job that names none";
  EXPECT_EQ(says(flash), "model: jobs of ray-flash-2 are not taken");
  task upscale = video;
  upscale.action = &luma::actions::upscale;
  EXPECT_EQ(says(upscale), "yes") << "it has no model";
  l.models = {"ray-flash-2"};
  EXPECT_EQ(says(flash), "yes") << "by the model's own name";
  l.models = {};
  task old = video;
  old.created_at = start;
  task fresh = video;
  fresh.created_at = start + seconds(2);
  l.mode = lane_mode::draining;
  l.mode_since = start + seconds(1);
  EXPECT_EQ(says(fresh), "no new jobs are taken now");
  EXPECT_EQ(says(old), "yes") << "what was accepted before still goes";
  l.mode = lane_mode::closed;
  EXPECT_FALSE(serves(l, video));
  l.mode = lane_mode::paused;
  EXPECT_TRUE(serves(l, video));
  EXPECT_FALSE(l.can_take(start));
  for (const lane_mode m : {lane_mode::open, lane_mode::paused, lane_mode::draining, lane_mode::closed})
    EXPECT_EQ(lane_mode_from(name_of(m)), m);
  EXPECT_EQ(lane_mode_from("asleep"), std::nullopt);
}

int obstacle_asked = 0, model_asked = 0;

TEST(submit_lane, a_protocol_is_asked_once_for_the_keys_of_an_upstream) {
  protocol counting = luma::official_protocol;
  counting.obstacle = [](const task&, const outgoing_settings& with) -> std::string {
    ++obstacle_asked;
    return with.default_model == "none" ? "no" : "";
  };
  counting.model_of = [](const task&, const outgoing_settings& with) {
    ++model_asked;
    return with.default_model;
  };
  std::vector<submit_lane> lanes(9);
  for (std::size_t i = 0; i < lanes.size(); ++i) {
    lanes[i].name = "k" + std::to_string(i);
    lanes[i].speaks = &counting;
    lanes[i].models = {i == 1 ? "another" : i < 6 ? "first" : "second"};  // as no configuration can have it
  }
  const auto three_keys = [&](std::size_t from, const char* model) {
    outgoing_settings with;
    with.default_model = model;
    const auto shared = std::make_shared<const outgoing_settings>(with);
    for (std::size_t i = from; i < from + 3; ++i) lanes[i].with = shared;
  };
  three_keys(0, "first");
  three_keys(3, "none");
  three_keys(6, "second");

  const task t = job();
  serving_lanes serving(t);
  std::string found;
  obstacle_asked = model_asked = 0;
  for (const submit_lane& l : lanes) found += serving.contains(l) ? 'y' : 'n';
  EXPECT_EQ(found, "ynynnnyyy");
  EXPECT_EQ(obstacle_asked, 3);
  EXPECT_EQ(model_asked, 2) << "not where the job cannot be done at all";
  found.clear();
  for (const submit_lane& l : lanes) found += serves(l, t) ? 'y' : 'n';
  EXPECT_EQ(found, "ynynnnyyy");

  obstacle_asked = 0;
  for (std::size_t i = 0; i < lanes.size(); ++i) lanes[i].rank = i < 3 ? 0 : 1;
  EXPECT_EQ(chosen(lanes, t, start), 0u);
  EXPECT_EQ(obstacle_asked, 1) << "those behind are not looked at";
}

TEST(submit_lane, a_refusal_is_about_the_jobs_there_were_when_it_was_sent) {
  const timestamp now = start;
  submit_lane l = lane("a");
  l.remember({"a", lane_mode::open, 10, 0}, now);
  l.open = 10;
  l.begin(now);
  ++l.open;
  l.open -= 3;  // three jobs end while the response is on its way
  l.ended(outcome(cause::limited), "t", now, now + seconds(1), usual);
  l.end(now);
  EXPECT_EQ(l.at_once.value(), 10);
  EXPECT_EQ(l.in_minute.value(), 0);
}

TEST(submit_lane, a_rate_is_kept_in_any_minute) {
  timestamp now = start;
  submit_lane l = lane("a");
  l.per_minute = 3;
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(l.can_take(now));
    l.begin(now);
    l.end(now);
    now += seconds(10);
  }
  EXPECT_FALSE(l.can_take(now));
  EXPECT_EQ(l.next_available(now), start + std::chrono::minutes(1));
  now = l.next_available(now);
  EXPECT_TRUE(l.can_take(now));
  l.begin(now);
  EXPECT_FALSE(l.can_take(now));
}

TEST(submit_lane, after_a_failure_one_tries_and_then_more) {
  timestamp now = start;
  submit_lane l = lane("a");
  policy p;
  p.submit_retry = milliseconds(2'000);
  p.submit_retry_max = milliseconds(30'000);
  const auto fails = [&](timestamp at) { return l.ended(outcome(cause::unreachable), "t", at, at, p); };
  EXPECT_EQ(fails(now), milliseconds(2'000));
  EXPECT_FALSE(l.can_take(now));
  EXPECT_EQ(l.state(now), submit_lane::circuit::open);
  fails(now);  // one that was in flight with the first: the same failure
  now = l.cool_down_until;
  EXPECT_EQ(now, start + seconds(4)) << "in a row";
  EXPECT_TRUE(l.can_take(now));
  EXPECT_EQ(l.state(now), submit_lane::circuit::half_open);
  l.begin(now);
  EXPECT_FALSE(l.can_take(now)) << "one tries";
  l.ended(outcome(cause::none), "t", now, now, p);
  EXPECT_EQ(l.state(now), submit_lane::circuit::closed);
  l.end(now);
  l.begin(now);
  EXPECT_TRUE(l.can_take(now));
  l.begin(now);
  EXPECT_FALSE(l.can_take(now)) << "then two";
  for (int i = 0; i < 2; ++i) l.ended(outcome(cause::none), "t", now, now, p);
  l.in_flight = 0;
  for (int i = 0; i < 4; ++i) {
    EXPECT_TRUE(l.can_take(now)) << i;
    l.begin(now);
  }
  EXPECT_FALSE(l.can_take(now)) << "one more with each success";
  for (int i = 0; i < 20; ++i) fails(l.cool_down_until);
  EXPECT_EQ(fails(l.cool_down_until), milliseconds(30'000));
  EXPECT_EQ(l.ended(outcome(cause::unreachable, milliseconds(90'000)), "t", now, l.cool_down_until, p),
            milliseconds(90'000))
      << "the upstream's own wish";
}

TEST(submit_lane, submissions_that_fail_together_are_one_failure) {
  submit_lane l = lane("a");
  policy p;
  p.submit_retry = milliseconds(2'000);
  for (int i = 0; i < 8; ++i) l.ended(outcome(cause::lost), "t", start, start, p);
  EXPECT_EQ(l.ended(outcome(cause::lost), "t", start, l.cool_down_until, p), milliseconds(4'000))
      << "the second in a row, not the ninth";
}

TEST(submit_lane, a_key_that_is_refused_opens_its_circuit) {
  submit_lane l = lane("a");
  EXPECT_EQ(one(l, start, outcome(cause::key_refused)), seconds(30));
  EXPECT_TRUE(l.refuses_account());
  EXPECT_EQ(name_of(l.why), "key_refused");
  EXPECT_EQ(l.state(start), submit_lane::circuit::open);
  timestamp now = l.cool_down_until;
  EXPECT_EQ(one(l, now, outcome(cause::key_refused)), seconds(60)) << "ever more seldom";
  for (int i = 0; i < 9; ++i) {
    now = l.cool_down_until;
    one(l, now, outcome(cause::key_refused));
  }
  EXPECT_EQ(l.cool_down_until, now + seconds(300)) << "but every five minutes";
  one(l, l.cool_down_until, outcome(cause::none));
  EXPECT_EQ(l.state(now), submit_lane::circuit::closed);
  EXPECT_FALSE(l.refuses_account());
}

TEST(submit_lane, credits_are_gone_when_several_tasks_were_refused) {
  submit_lane l = lane("a");
  for (int i = 0; i < 10; ++i)
    EXPECT_EQ(one(l, start, outcome(cause::no_credits), "expensive").count(), 0) << "this task's alone";
  EXPECT_EQ(one(l, start, outcome(cause::none), "cheap").count(), 0);
  EXPECT_EQ(one(l, start, outcome(cause::no_credits), "expensive").count(), 0);
  EXPECT_EQ(one(l, start, outcome(cause::no_credits), "a").count(), 0);
  EXPECT_EQ(l.state(start), submit_lane::circuit::closed);
  EXPECT_EQ(one(l, start, outcome(cause::no_credits), "b"), seconds(30));
  EXPECT_EQ(l.state(start), submit_lane::circuit::open);
  for (const char* id : {"a", "b", "c", "d"}) one(l, l.cool_down_until, outcome(cause::not_allowed), id);
  EXPECT_EQ(l.state(l.cool_down_until), submit_lane::circuit::closed) << "403 may be about a model";
  EXPECT_TRUE(l.refuses_account());
}

// ---- limits that are learned

TEST(learned_limit, from_the_first_refusal_on) {
  learned_limit l;
  EXPECT_TRUE(l.allows(1'000'000, start));
  for (int used = 1; used <= 10; ++used) l.accepted(used);
  l.refused(10, start, start, {});
  EXPECT_EQ(l.value(), 10);
  EXPECT_TRUE(l.allows(9, start));
  EXPECT_FALSE(l.allows(10, start));
  // Others that were sent with it: one of them was accepted.
  l.refused(11, start, start + seconds(1), {});
  EXPECT_EQ(l.value(), 11);
}

TEST(learned_limit, one_more_is_tried_ever_more_seldom_while_it_is_refused) {
  learned_limit l;
  for (int used = 1; used <= 10; ++used) l.accepted(used);
  timestamp now = start;
  l.refused(10, now, now, {});
  std::vector<int> between;
  int accepted = 0;
  for (int i = 0; i < 2'000; ++i) {
    now += seconds(2);
    const std::int64_t used = l.allows(10, now) ? 10 : 9;
    l.begin(used);
    if (used == 10) {
      l.refused(10, now, now, {});
      between.push_back(accepted);
      accepted = 0;
    } else {
      l.accepted(10);
      ++accepted;
    }
    EXPECT_EQ(l.value(), 10);
  }
  EXPECT_EQ(between, (std::vector<int>{32, 64, 128, 256, 256, 256, 256, 256, 256}));
}

TEST(learned_limit, a_probe_that_costs_a_pause_waits_for_it) {
  learned_limit l;
  l.accepted(10);
  l.refused(10, start, start, seconds(30));
  for (int i = 0; i < 100; ++i) l.accepted(10);
  EXPECT_FALSE(l.allows(10, start + seconds(599)));
  EXPECT_TRUE(l.allows(10, start + seconds(600)));
}

TEST(learned_limit, follows_an_upstream_that_allows_more_and_one_that_allows_less) {
  for (const auto& [before, after] : {std::pair<std::int64_t, std::int64_t>{10, 40}, {40, 10}, {10, 1}}) {
    learned_limit l;
    timestamp now = start;
    int refused = 0;
    const auto run = [&](std::int64_t allowed, int submissions) {
      std::int64_t used = 0;
      for (int i = 0; i < submissions; ++i) {
        now += seconds(1);
        while (!l.allows(used, now)) --used;  // a job ends
        l.begin(used);
        if (used < allowed) {
          l.accepted(++used);
        } else {
          ++refused;
          l.refused(used = std::min(used, allowed), now, now, {});
        }
      }
    };
    run(before, 400);
    EXPECT_EQ(l.value(), before);
    refused = 0;
    run(after, 2'000);
    EXPECT_EQ(l.value(), after);
    EXPECT_LT(refused, 60) << before << " to " << after;
  }
}

// An upstream, its clock, and a lane that knows nothing: what becomes of ten minutes in which there is always
// a job that waits.
struct storm {
  std::size_t at_once = 1'000'000;
  std::size_t in_minute = 1'000'000;
  bool names_it = false;  // the 429 says what it is about
  int retry_after = 0;    // seconds
  seconds job_time{20};
  milliseconds noticed_after{1'500};  // the end of a job, by polling
  milliseconds latency{400};          // of a create
  submit_lane lane;

  struct counts {
    int accepted = 0, refused = 0;
    double refused_share() const { return refused / static_cast<double>(std::max(1, accepted + refused)); }
  };
  counts run(std::chrono::minutes how_long) {
    counts out;
    enum class what { create, response, end, noticed };
    std::multimap<timestamp, std::pair<what, timestamp>> events;  // and when the create began
    std::deque<timestamp> created;
    std::size_t open_there = 0;
    timestamp now = start;
    const auto submit_all = [&] {
      while (lane.can_take(now)) {
        lane.begin(now);
        ++lane.open;
        events.emplace(now + latency / 2, std::pair(what::create, now));
        ++now_id_;
      }
    };
    const timestamp end = start + how_long;
    std::map<timestamp, submit_outcome> answers;  // by the time it began; one at a time has it
    std::uint64_t n = 0;
    while (now < end) {
      submit_all();
      const timestamp again = lane.next_available(now);
      if (events.empty() || (again > now && again < events.begin()->first)) {
        if (again <= now) break;
        now = again;
        continue;
      }
      const auto [at, e] = *events.begin();
      events.erase(events.begin());
      now = at;
      switch (e.first) {
        case what::create: {
          while (!created.empty() && created.front() <= now - std::chrono::minutes(1)) created.pop_front();
          submit_outcome o = outcome(cause::none);
          if (open_there >= at_once || created.size() >= in_minute) {
            o = outcome(cause::limited, seconds(retry_after));
            if (names_it) o.limit = open_there >= at_once ? limit_kind::at_once : limit_kind::in_minute;
          } else {
            ++open_there;
            created.push_back(now);
            events.emplace(now + job_time, std::pair(what::end, e.second));
          }
          waiting_[++n] = o;
          events.emplace(now + latency / 2, std::pair(what::response, e.second));
          order_.push_back(n);
          break;
        }
        case what::response: {
          const submit_outcome o = waiting_[order_.front()];
          order_.pop_front();
          lane.ended(o, "t" + std::to_string(++now_id_), e.second, now, usual);
          lane.end(e.second);
          if (o.why == cause::none) {
            ++out.accepted;
          } else {
            ++out.refused;
            --lane.open;
          }
          break;
        }
        case what::end:
          --open_there;
          events.emplace(now + noticed_after, std::pair(what::noticed, e.second));
          break;
        case what::noticed:
          --lane.open;
          break;
      }
    }
    return out;
  }

 private:
  int now_id_ = 0;
  std::map<std::uint64_t, submit_outcome> waiting_;
  std::deque<std::uint64_t> order_;
};

TEST(storm_of_429s, most_of_what_is_possible_is_submitted_and_little_is_refused) {
  struct {
    const char* what;
    std::size_t at_once, in_minute;
    bool names_it;
    int retry_after;
    int possible;  // jobs in ten minutes
  } const table[] = {
      {"ten at once", 10, 1'000'000, false, 0, 300},
      {"ten at once, says so, and asks for a second", 10, 1'000'000, true, 1, 300},
      {"ten at once, asks for five seconds", 10, 1'000'000, false, 5, 300},
      {"one at once", 1, 1'000'000, false, 0, 30},
      {"forty at once", 40, 1'000'000, false, 0, 1'200},
      {"twenty in a minute", 1'000'000, 20, false, 0, 200},
      {"twenty in a minute, says so", 1'000'000, 20, true, 1, 200},
      {"both, as the official API", 10, 20, true, 1, 200},
      {"both, and says nothing", 10, 20, false, 0, 200},
  };
  for (const auto& row : table) {
    storm s;
    s.at_once = row.at_once;
    s.in_minute = row.in_minute;
    s.names_it = row.names_it;
    s.retry_after = row.retry_after;
    s.lane.name = "a";
    const storm::counts c = s.run(std::chrono::minutes(10));
    EXPECT_GE(c.accepted, row.possible * 9 / 10) << row.what;
    const auto few = [](const storm::counts& n) { return n.refused <= 2 || n.refused_share() < 0.05; };
    EXPECT_TRUE(few(c)) << row.what << ": " << c.refused << " refused, " << c.accepted;
    // After a restart the same; what was learned is known from the first submission on.
    storm again = s;
    again.lane = submit_lane();
    again.lane.name = "a";
    again.lane.remember(s.lane.memory(), start);
    const storm::counts later = again.run(std::chrono::minutes(10));
    EXPECT_GE(later.accepted, row.possible * 9 / 10) << row.what << ", after a restart";
    EXPECT_TRUE(few(later)) << row.what << ", after a restart: " << later.refused;
  }
}

TEST(storm_of_429s, a_slow_response_does_not_hold_up_a_lane_that_is_careful) {
  submit_lane l;
  l.begin(start);
  EXPECT_FALSE(l.can_take(start)) << "nothing is known of its limits: one after the other";
  EXPECT_EQ(l.next_available(start), start + milliseconds(250));
  EXPECT_TRUE(l.can_take(start + milliseconds(250)));
  l.max_open = 5;
  EXPECT_TRUE(l.can_take(start)) << "the operator has said what it takes";
}

// ---- slots

// Whatever becomes of a lease, its slot comes back.
TEST(submit_slots, a_lease_is_given_back_by_destruction) {
  const timestamp now = start;
  submit_lane first = lane("a");
  first.max_in_flight = 1;
  first.max_open = 2;
  first.per_minute = 2;
  int freed = 0;
  const auto slots = std::make_shared<submit_slots>(std::vector{first}, [&freed] { ++freed; });
  const submit_lane& the_lane = slots->lanes().front();
  const auto waiting = std::make_shared<task>(job("t-waiting"));
  task t = job("t-1");
  {
    auto slot = slots->acquire(t, now);
    ASSERT_TRUE(slot);
    EXPECT_EQ(slot->upstream(), "a");
    EXPECT_EQ(the_lane.in_flight, 1);
    EXPECT_EQ(the_lane.open, 1);
    EXPECT_FALSE(slots->acquire(*waiting, now)) << "one at a time";
    slots->set_waiters(slots->serving(*waiting));
  }
  EXPECT_EQ(the_lane.in_flight, 0) << "nothing was sent";
  EXPECT_EQ(the_lane.open, 0);
  EXPECT_GE(freed, 1) << "a task waits for it";
  for (int i = 0; i < 2; ++i) {  // it did not count against the rate
    ASSERT_TRUE(the_lane.can_take(now)) << i;
    auto slot = slots->acquire(i == 0 ? t : job("t-2"), now);
    slot->sent();
    auto moved = std::move(*slot);
    EXPECT_EQ(the_lane.in_flight, 1) << "moving is not giving back";
  }
  EXPECT_FALSE(the_lane.can_take(now));
  EXPECT_EQ(the_lane.in_flight, 0);
  EXPECT_EQ(the_lane.open, 2) << "the upstream has the jobs";
  slots->open_job("t-1", "a");
  EXPECT_EQ(the_lane.open, 2) << "twice is once";
  freed = 0;
  slots->close_job("t-1");
  slots->close_job("t-1");
  EXPECT_EQ(the_lane.open, 1);
  EXPECT_EQ(freed, 1);
}

class three_lanes : public ::testing::Test {
 protected:
  three_lanes() {
    std::vector<submit_lane> all = {lane("a"), lane("b"), lane("c")};
    slots = std::make_shared<submit_slots>(std::move(all), [] {});
  }
  // Where a task goes, and what comes of it.
  std::string submit(const task& t, const submit_outcome& o, timestamp now,
                     submit_slots::verdict* v = nullptr) {
    auto slot = slots->acquire(t, now);
    if (!slot) return "nowhere";
    slot->sent();
    task sent = t;
    sent.attempted_at = now;
    sent.upstream = slot->upstream();
    const auto verdict = slots->finish(*slot, sent, o, now, usual);
    if (v != nullptr) *v = verdict;
    if (o.what != kind::accepted) slots->close_job(t.id);
    return sent.upstream;
  }

  std::shared_ptr<submit_slots> slots;
};

TEST_F(three_lanes, share_jobs_by_weight) {
  const std::int64_t weights[] = {5, 3, 2};
  for (std::size_t i = 0; i < 3; ++i) (*slots)[i].weight = weights[i];
  std::map<std::string, int> got;
  for (int i = 0; i < 1'000; ++i) ++got[submit(job("t-" + std::to_string(i)), outcome(cause::none), start)];
  EXPECT_NEAR(got["a"], 500, 5);
  EXPECT_NEAR(got["b"], 300, 5);
  EXPECT_NEAR(got["c"], 200, 5);
}

TEST_F(three_lanes, one_that_refuses_a_task_is_not_asked_again_before_the_others) {
  const task t = job("t-1");
  submit_slots::verdict v;
  std::set<std::string> asked;
  for (int i = 0; i < 2; ++i) {
    asked.insert(submit(t, outcome(cause::not_allowed), start, &v));
    EXPECT_TRUE(v.keeps_place) << "another may take it";
    EXPECT_EQ(v.pause.count(), 0);
  }
  asked.insert(submit(t, outcome(cause::no_credits), start, &v));
  EXPECT_EQ(asked.size(), 3u) << "each once";
  EXPECT_FALSE(v.keeps_place) << "all have refused it: it waits by itself";
  EXPECT_EQ(std::popcount(slots->serving(t)), 3) << "and then all are asked again";
  EXPECT_NE(submit(job("t-2"), outcome(cause::none), start), "nowhere") << "others are not held off";
}

TEST_F(three_lanes, a_task_is_held_off_for_a_minute) {
  const task t = job("t-1");
  const std::string refused_by = submit(t, outcome(cause::not_allowed), start);
  EXPECT_EQ(std::popcount(slots->serving(t)), 2);
  EXPECT_EQ(slots->next_hold_off_end(), start + std::chrono::minutes(1));
  EXPECT_TRUE(slots->end_hold_offs(start + seconds(59)).empty());
  EXPECT_EQ(slots->end_hold_offs(start + seconds(60)), std::vector<std::string>{"t-1"});
  EXPECT_EQ(std::popcount(slots->serving(t)), 3);
  EXPECT_EQ(slots->next_hold_off_end(), std::nullopt);
  submit(t, outcome(cause::not_allowed), start);
  slots->forget("t-1");
  EXPECT_EQ(std::popcount(slots->serving(t)), 3);
  EXPECT_EQ(slots->next_hold_off_end(), std::nullopt) << "nothing is kept of it";
}

TEST_F(three_lanes, the_circuit_of_one_key_leaves_the_others_alone) {
  submit_slots::verdict v;
  const std::string refused = submit(job("t-1"), outcome(cause::key_refused), start, &v);
  EXPECT_TRUE(v.opened);
  EXPECT_TRUE(v.keeps_place);
  for (int i = 0; i < 50; ++i) {
    EXPECT_NE(submit(job("x-" + std::to_string(i)), outcome(cause::none), start + seconds(29)), refused);
  }
  EXPECT_FALSE(slots->accounts_refused(job()));
  // Half open: one probe, and the key works again.
  std::map<std::string, int> got;
  for (int i = 0; i < 9; ++i) {
    ++got[submit(job("y-" + std::to_string(i)), outcome(cause::none), start + seconds(31), &v)];
    if (v.closed) EXPECT_EQ(got[refused], 1);
  }
  EXPECT_GT(got[refused], 1);
}

// Whatever happens: no open circuit is picked, no full lane, no lane that is not to take jobs, a pinned task
// goes nowhere else, and a task is never given to two lanes at once.
TEST(choice_of_a_lane, keeps_its_promises) {
  for (std::uint32_t seed = 1; seed <= 200; ++seed) {
    std::mt19937 random(seed);
    const auto chance = [&random](unsigned n) { return random() % n; };
    std::vector<submit_lane> all;
    const char* const names[] = {"a", "b/1", "b/2", "c", "d"};
    for (const char* name : names) {
      submit_lane l = lane(name);
      l.rank = static_cast<int>(chance(3));
      l.weight = 1 + chance(5);
      l.max_open = chance(2) == 0 ? 1 + chance(5) : 0;
      l.per_minute = chance(3) == 0 ? 1 + chance(20) : 0;
      l.careful = chance(2) == 0;
      all.push_back(l);
    }
    const auto slots = std::make_shared<submit_slots>(std::move(all), [] {});
    timestamp now = start;
    std::map<std::string, submit_slots::lease> flying;
    std::map<std::string, std::string> at;
    for (int i = 0; i < 300; ++i) {
      now += milliseconds(chance(3'000));
      task t = job("t-" + std::to_string(chance(40)));
      if (flying.contains(t.id) || at.contains(t.id)) {
        // Ends, one way or another.
        if (const auto f = flying.find(t.id); f != flying.end()) {
          const cause ends[] = {cause::none,        cause::none,        cause::none,
                                cause::unreachable, cause::lost,        cause::key_refused,
                                cause::no_credits,  cause::not_allowed, cause::wrong_address,
                                cause::limited};
          const cause why = ends[chance(std::size(ends))];
          t.attempted_at = now - milliseconds(chance(500));
          t.upstream = f->second.upstream();
          slots->finish(f->second, t, outcome(why), now, usual);
          if (why == cause::none || why == cause::lost)
            at[t.id] = t.upstream;
          else
            slots->close_job(t.id);
          flying.erase(f);
        } else {
          slots->close_job(t.id);
          at.erase(t.id);
        }
        continue;
      }
      if (chance(30) == 0) slots->set_mode(chance(5), static_cast<lane_mode>(chance(4)), now);
      if (chance(5) == 0) {
        t.pinned = true;
        t.upstream = names[chance(5)];
      }
      const auto free_lanes = slots->free(now);
      auto slot = slots->acquire(t, now);
      if (!slot) {
        EXPECT_EQ(slots->serving(t) & free_lanes, 0u) << "seed " << seed << ": it waits although one is free";
        continue;
      }
      submit_lane before = slots->lanes()[slot->lane()];
      EXPECT_TRUE(free_lanes >> slot->lane() & 1) << "seed " << seed;
      EXPECT_NE(before.mode, lane_mode::paused) << "seed " << seed;
      EXPECT_NE(before.mode, lane_mode::closed) << "seed " << seed;
      EXPECT_NE(before.state(now), submit_lane::circuit::open) << "seed " << seed;
      if (before.max_open > 0) EXPECT_LE(before.open, before.max_open) << "seed " << seed;
      if (t.pinned) EXPECT_EQ(slot->upstream(), t.upstream) << "seed " << seed;
      if (before.mode == lane_mode::draining) EXPECT_LE(t.created_at, before.mode_since) << "seed " << seed;
      for (std::size_t k = 0; k < slots->lanes().size(); ++k) {
        if (t.pinned || (free_lanes >> k & 1) == 0 || !serves(slots->lanes()[k], t) ||
            (slots->serving(t) >> k & 1) == 0)
          continue;
        EXPECT_LE(before.rank, slots->lanes()[k].rank) << "seed " << seed << ": a better one was free";
      }
      slot->sent();
      flying.emplace(t.id, std::move(*slot));
    }
  }
}

}  // namespace
}  // namespace relay
