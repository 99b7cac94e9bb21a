// The most expensive decision: what an answer to a create means (rule M2).

#include "common/engine/outcome.hpp"

#include <gtest/gtest.h>

#include "common/engine/lifecycle.hpp"
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
      EXPECT_EQ(name_of(o.why), name_of(cause::none)) << row.what;
    }
    if (row.want == kind::unknown) {
      EXPECT_EQ(name_of(o.why), name_of(cause::lost)) << row.what << ": the next answer may be lost too";
    }
    if (row.want == kind::unavailable) {
      EXPECT_NE(name_of(o.why), name_of(cause::none)) << row.what;
    }
  }
}

TEST(outcome, retry_after_is_obeyed_within_reason) {
  EXPECT_EQ(classify_submit(answered(429, "", 7)).cool_down, milliseconds(7'000));
  EXPECT_EQ(classify_submit(answered(429, "", 1'000'000)).cool_down, milliseconds(300'000));
}

TEST(outcome, what_a_refusal_is_about) {
  const auto why = [](int status) { return name_of(classify_submit(answered(status)).why); };
  EXPECT_EQ(why(401), "key_refused");
  EXPECT_EQ(why(402), "no_credits");
  EXPECT_EQ(why(403), "not_allowed");
  for (const int status : {404, 405, 307, 308}) EXPECT_EQ(why(status), "wrong_address") << status;
  EXPECT_EQ(why(429), "limited");
  EXPECT_EQ(name_of(classify_submit(cut_off(false)).why), "unreachable");
}

TEST(outcome, which_limit_a_429_names) {
  struct {
    const char* text;
    limit_kind want;
  } const table[] = {
      {"Concurrency limit exceeded: 10 generations", limit_kind::at_once},
      {"too many concurrent requests", limit_kind::at_once},
      {"Rate limit exceeded: 20 create requests per minute", limit_kind::in_minute},
      {"RPM exceeded", limit_kind::in_minute},
      {"Too many requests", limit_kind::unknown},
      {"", limit_kind::unknown},
  };
  for (const auto& row : table) {
    const submit_outcome o =
        classify_submit(answered(429, R"({"detail":")" + std::string(row.text) + R"("})"));
    EXPECT_EQ(static_cast<int>(o.limit), static_cast<int>(row.want)) << row.text;
  }
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
      {R"({"detail":"a\u000ab\u0001"})", "a b\\x01"},
      {R"x({"detail":"no answer from http://10.0.0.3:8000/gen (worker-3.internal)"})x",
       "no answer from [internal] ([internal])"},
  };
  for (const auto& row : table) EXPECT_EQ(luma::official_protocol.error_text(400, row.body), row.text);
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
