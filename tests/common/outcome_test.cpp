// The most expensive decision: what an answer to a create means (rule M2).

#include "common/engine/outcome.hpp"

#include <gtest/gtest.h>

#include "common/engine/lifecycle.hpp"
#include "common/engine/submit_slots.hpp"
#include "tests/support/luma.hpp"

namespace relay {
namespace {

using kind = submit_outcome::kind;

submit_outcome classify_submit(const exchange& x) {
  return classify_submit(x, luma::official_protocol);
}
poll_outcome classify_poll(const exchange& x) {
  return classify_poll(x, luma::official_protocol);
}

exchange answered(int status, std::string body = {}, int retry_after = 0) {
  exchange x;
  x.sent_any = x.responded = true;
  x.status = status;
  x.body = std::move(body);
  x.retry_after_seconds = retry_after;
  return x;
}

exchange cut_off(bool sent_any) {
  exchange x;
  x.sent_any = sent_any;
  x.problem = "cut off";
  return x;
}

TEST(outcome, of_a_create) {
  const std::string created = R"({"id":"u","state":"queued"})";
  struct {
    const char* what;
    exchange x;
    kind want;
  } const table[] = {
      {"created", answered(201, created), kind::accepted},
      {"station's 200", answered(200, R"([{"id":"u","state":"pending"}])"), kind::accepted},
      {"no name, no TCP, no TLS", cut_off(false), kind::unavailable},
      {"reset after sending", cut_off(true), kind::unknown},
      {"201 with garbage", answered(201, "<html>"), kind::unknown},
      {"200 without an id", answered(200, R"({"state":"queued"})"), kind::unknown},
      {"204", answered(204), kind::unknown},
      {"see other", answered(303), kind::unknown},
      {"moved", answered(301), kind::unknown},
      {"permanent redirect", answered(308), kind::unavailable},
      {"bad request", answered(400, R"({"detail":"Prompt is required"})"), kind::rejected},
      {"unprocessable", answered(422), kind::rejected},
      {"too large", answered(413), kind::rejected},
      {"bad key", answered(401), kind::unavailable},
      {"no credits", answered(402), kind::unavailable},
      {"forbidden", answered(403), kind::unavailable},
      {"wrong url", answered(404), kind::unavailable},
      {"rate limit", answered(429), kind::unavailable},
      {"request timeout", answered(408), kind::unknown},
      {"conflict", answered(409), kind::unknown},
      {"too early", answered(425), kind::unknown},
      {"server error", answered(500), kind::unknown},
      {"bad gateway", answered(502), kind::unknown},
      {"unavailable with Retry-After", answered(503, "", 5), kind::unknown},
      {"gateway timeout", answered(504), kind::unknown},
      {"cloudflare", answered(524), kind::unknown},
  };
  for (const auto& row : table) {
    const submit_outcome o = classify_submit(row.x);
    EXPECT_EQ(name_of(o.what), name_of(row.want)) << row.what;
    // The event says the same as the name.
    EXPECT_EQ(std::holds_alternative<event::accepted>(o.event), row.want == kind::accepted) << row.what;
    EXPECT_EQ(std::holds_alternative<event::rejected>(o.event), row.want == kind::rejected) << row.what;
    EXPECT_EQ(std::holds_alternative<event::unavailable>(o.event), row.want == kind::unavailable) << row.what;
    EXPECT_EQ(std::holds_alternative<event::outcome_unknown>(o.event), row.want == kind::unknown) << row.what;
    if (row.want == kind::accepted || row.want == kind::rejected) {
      EXPECT_FALSE(o.whole_upstream) << row.what;
    }
    if (row.want == kind::unknown) {
      EXPECT_TRUE(o.whole_upstream) << row.what << ": the next answer may be lost too";
    }
    if (const auto* e = std::get_if<event::unavailable>(&o.event)) {
      EXPECT_EQ(e->whole_upstream, o.whole_upstream) << row.what;
    }
  }
}

TEST(outcome, retry_after_is_obeyed_within_reason) {
  EXPECT_EQ(classify_submit(answered(429, "", 7)).cool_down, milliseconds(7'000));
  EXPECT_EQ(classify_submit(answered(429, "", 1'000'000)).cool_down, milliseconds(300'000));
}

// One request that an upstream does not like must not close it for the others.
TEST(outcome, only_what_concerns_every_request_holds_the_upstream_off) {
  for (const int status : {401, 402, 429})
    EXPECT_TRUE(classify_submit(answered(status)).whole_upstream) << status;
  for (const int status : {403, 404, 405, 308})
    EXPECT_FALSE(classify_submit(answered(status)).whole_upstream) << status;
  EXPECT_TRUE(classify_submit(cut_off(false)).whole_upstream);
}

TEST(outcome, of_a_poll) {
  struct {
    const char* what;
    exchange x;
    const char* name;
    bool polled, not_found;
  } const table[] = {
      {"job", answered(200, R"({"id":"u","state":"dreaming"})"), "ok", true, false},
      {"unknown word", answered(200, R"({"id":"u","state":"levitating"})"), "ok", true, false},
      {"garbage", answered(200, "x"), "error", false, false},
      {"gone", answered(404, R"({"detail":"Generation not found"})"), "not_found", false, true},
      {"gone, says 410", answered(410, R"({"detail":"Deleted"})"), "not_found", false, true},
      {"a gateway's 404", answered(404, "<html>404 Not Found</html>"), "error", false, false},
      {"another gateway's", answered(404, R"({"message":"no Route matched"})"), "error", false, false},
      {"bad gateway", answered(502), "error", false, false},
      {"bad key", answered(401), "error", false, false},
      {"cut off", cut_off(true), "error", false, false},
  };
  for (const auto& row : table) {
    const poll_outcome o = classify_poll(row.x);
    EXPECT_EQ(o.name, row.name) << row.what;
    EXPECT_EQ(std::holds_alternative<event::polled>(o.event), row.polled) << row.what;
    if (const auto* failed = std::get_if<event::poll_failed>(&o.event)) {
      EXPECT_EQ(failed->not_found, row.not_found) << row.what;
    }
  }
}

TEST(outcome, a_poll_that_is_put_off_waits_as_long_as_the_upstream_says) {
  const poll_outcome o = classify_poll(answered(503, "", 90));
  const auto* failed = std::get_if<event::poll_failed>(&o.event);
  ASSERT_NE(failed, nullptr);
  EXPECT_EQ(failed->retry_after, std::chrono::seconds(90));
  EXPECT_EQ(o.cool_down.count(), 0) << "it is this job's alone";
  EXPECT_EQ(classify_poll(answered(429, "", 90)).cool_down, std::chrono::seconds(90));
}

TEST(outcome, the_upstreams_words_for_the_client) {
  struct {
    const char* body;
    const char* text;
  } const table[] = {
      {R"({"detail":"Prompt is required"})", "Prompt is required"},
      {R"({"detail":[{"loc":["body","loop"],"msg":"bad"},{"msg":"worse"}]})", "loop: bad; worse"},
      {R"({"detail":{"reason":"no","code":1}})", "no"},
      {R"({"error":{"message":"quota"}})", "quota"},
      {R"({"code":"x","message":"user quota is not enough","data":null})", "user quota is not enough"},
      {"<html>", "The upstream refused the request with status 400"},
      {R"({"detail":"a\u000ab"})", "a\\x0ab"},
  };
  for (const auto& row : table) EXPECT_EQ(luma::official_protocol.error_text(400, row.body), row.text);
}

TEST(submit_lane, the_first_that_can) {
  const timestamp now{std::chrono::hours(1)};
  std::vector<submit_lane> lanes(3);
  lanes[0].name = "a";
  lanes[1].name = "b";
  lanes[2].name = "c";
  task t = test::luma_task();
  t.request = "{}";
  EXPECT_EQ(choose(lanes, t, now), 0u);
  lanes[0].cool_down_until = now + std::chrono::seconds(5);
  EXPECT_EQ(choose(lanes, t, now), 1u);
  lanes[1].max_open = 2;
  lanes[1].open = 2;
  EXPECT_EQ(choose(lanes, t, now), 2u);
  lanes[2].in_flight = lanes[2].max_in_flight;
  EXPECT_EQ(choose(lanes, t, now), std::nullopt);
  EXPECT_EQ(next_available(lanes, now), lanes[0].cool_down_until);
  EXPECT_EQ(choose(lanes, t, lanes[0].cool_down_until), 0u);
  t.pinned = true;
  t.upstream = "b";
  EXPECT_EQ(choose(lanes, t, lanes[0].cool_down_until), std::nullopt);
  lanes[1].open = 1;
  EXPECT_EQ(choose(lanes, t, now), 1u);
  t.pinned = false;
  t.action = &luma::actions::image;
  lanes[1].speaks = &luma::station_protocol;
  EXPECT_EQ(choose(lanes, t, now), std::nullopt);
}

TEST(submit_lane, a_rate_is_kept_in_any_minute) {
  timestamp now{std::chrono::hours(1)};
  submit_lane l;
  l.per_minute = 3;
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(l.can_take(now));
    l.begin(now);
    --l.in_flight;
    now += std::chrono::seconds(10);
  }
  EXPECT_FALSE(l.can_take(now));
  EXPECT_EQ(l.next_available(now), timestamp(std::chrono::hours(1)) + std::chrono::minutes(1));
  now = l.next_available(now);
  EXPECT_TRUE(l.can_take(now));
  l.begin(now);
  EXPECT_FALSE(l.can_take(now));
}

TEST(submit_lane, after_trouble_one_tries_and_then_more) {
  timestamp now{std::chrono::hours(1)};
  submit_lane l;
  EXPECT_EQ(l.failure(now, {}, milliseconds(2'000), milliseconds(30'000)), milliseconds(2'000));
  EXPECT_FALSE(l.can_take(now));
  l.failure(now, {}, milliseconds(2'000),
            milliseconds(30'000));  // one that was in flight with the first: the same trouble
  now = l.cool_down_until;
  EXPECT_EQ(now, timestamp(std::chrono::hours(1)) + std::chrono::seconds(4)) << "troubles in a row";
  EXPECT_TRUE(l.can_take(now));
  l.begin(now);
  EXPECT_FALSE(l.can_take(now)) << "one tries";
  --l.in_flight;
  l.success();
  l.begin(now);
  EXPECT_TRUE(l.can_take(now));
  l.begin(now);
  EXPECT_FALSE(l.can_take(now)) << "then two";
  l.in_flight = 0;
  l.success();
  for (int i = 0; i < 4; ++i) {
    EXPECT_TRUE(l.can_take(now)) << i;
    l.begin(now);
  }
  EXPECT_FALSE(l.can_take(now)) << "then four: doubled by each success";
  for (int i = 0; i < 20; ++i) l.failure(l.cool_down_until, {}, milliseconds(2'000), milliseconds(30'000));
  EXPECT_EQ(l.failure(l.cool_down_until, {}, milliseconds(2'000), milliseconds(30'000)),
            milliseconds(30'000));
  EXPECT_EQ(l.failure(l.cool_down_until, milliseconds(90'000), milliseconds(2'000), milliseconds(30'000)),
            milliseconds(90'000))
      << "the upstream's own wish";
}

TEST(submit_lane, submissions_that_fail_together_are_one_trouble) {
  const timestamp now{std::chrono::hours(1)};
  submit_lane l;
  for (int i = 0; i < 8; ++i) l.failure(now, {}, milliseconds(2'000), milliseconds(30'000));
  EXPECT_EQ(l.failure(l.cool_down_until, {}, milliseconds(2'000), milliseconds(30'000)), milliseconds(4'000))
      << "the second in a row, not the ninth";
}

// Whatever becomes of a lease, its slot comes back.
TEST(submit_slots, a_lease_is_given_back_by_destruction) {
  const timestamp now{std::chrono::hours(1)};
  submit_lane one;
  one.name = "a";
  one.max_in_flight = 1;
  one.max_open = 2;
  one.per_minute = 2;
  int freed = 0;
  const auto slots = std::make_shared<submit_slots>(std::vector{one}, [&freed] { ++freed; });
  const submit_lane& lane = slots->lanes().front();
  const auto waiting = std::make_shared<task>(test::luma_task());
  waiting->id = "t-waiting";
  task t = test::luma_task();
  t.id = "t-1";
  {
    auto slot = slots->acquire(t, now);
    ASSERT_TRUE(slot);
    EXPECT_EQ(slot->upstream(), "a");
    EXPECT_EQ(lane.in_flight, 1);
    EXPECT_EQ(lane.open, 1);
    EXPECT_FALSE(slots->acquire(*waiting, now)) << "one at a time";
    slots->set_waiters(slots->serving(*waiting));
  }
  EXPECT_EQ(lane.in_flight, 0) << "nothing was sent";
  EXPECT_EQ(lane.open, 0);
  EXPECT_TRUE(lane.recent.empty()) << "it does not count against the rate";
  EXPECT_GE(freed, 1) << "a task waits for it";
  {
    auto slot = slots->acquire(t, now);
    slot->sent();
    auto moved = std::move(*slot);
    EXPECT_EQ(lane.in_flight, 1) << "moving is not giving back";
  }
  EXPECT_EQ(lane.in_flight, 0);
  EXPECT_EQ(lane.open, 1) << "the upstream has the job";
  EXPECT_EQ(lane.recent.size(), 1u);
  slots->open_job("t-1", "a");
  EXPECT_EQ(lane.open, 1) << "twice is once";
  freed = 0;
  slots->close_job("t-1");
  slots->close_job("t-1");
  EXPECT_EQ(lane.open, 0);
  EXPECT_EQ(freed, 1);
}

TEST(outcome, an_end_belongs_to_its_attempt) {
  task t = test::luma_task();
  t.deadline = timestamp(std::chrono::hours(2));
  const timestamp now{std::chrono::hours(1)};
  t = advance(t, event::submit_started{"a", "", "first", "p"}, now, {}, 0);
  t = advance(t, event::unavailable{{}, true, "first"}, now, {}, 0);
  t = advance(t, event::submit_started{"b", "", "second", "p"}, now, {}, 0);
  EXPECT_EQ(t.attempt_id, "second");
  EXPECT_EQ(t.submitter, "p");
  for (const exchange& x :
       {answered(201, R"({"id":"u","state":"queued"})"), answered(400), answered(429), cut_off(true)}) {
    const task_event late = for_attempt(classify_submit(x).event, "first");
    EXPECT_EQ(advance(t, late, now, {}, 0), t)
        << x.status << ": an attempt that is over means nothing to the next";
    EXPECT_NE(advance(t, for_attempt(classify_submit(x).event, "second"), now, {}, 0), t) << x.status;
  }
}

}  // namespace
}  // namespace relay
