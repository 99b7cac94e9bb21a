// Which retry of an SDK repeats an older job, and which is a job of its own.

#include "common/engine/sent_creates.hpp"

#include <gtest/gtest.h>

namespace relay {
namespace {

constexpr timestamp t0{std::chrono::hours(1'000)};
constexpr std::int64_t me = 1;

timestamp at(int seconds) {
  return t0 + std::chrono::seconds(seconds);
}

// A send of one and the same request, made at so many seconds.
idempotency_record sent(const char* count, int seconds, std::string_view timeout = {},
                        std::string_view request = "a cat") {
  return **idempotency_of({0, {}, count, timeout}, request, at(seconds));
}

TEST(sent_creates, a_refused_send_is_retried_once) {
  sent_creates s;
  EXPECT_FALSE(s.is_retry_of_refused(me, sent("1", 0))) << "its first send never arrived";
  s.refused(me, sent("0", 0), at(0));
  EXPECT_FALSE(s.is_retry_of_refused(me, sent("0", 1))) << "a first send is no retry";
  EXPECT_FALSE(s.is_retry_of_refused(me, sent("2", 1))) << "the send before it was another";
  EXPECT_FALSE(s.is_retry_of_refused(2, sent("1", 1))) << "another client's";
  EXPECT_FALSE(s.is_retry_of_refused(me, sent("1", 1, {}, "a dog")));
  EXPECT_TRUE(s.is_retry_of_refused(me, sent("1", 1)));
  EXPECT_FALSE(s.is_retry_of_refused(me, sent("1", 2))) << "one retry for one refusal";
  // A retry can be refused too.
  s.refused(me, sent("1", 1), at(1));
  EXPECT_TRUE(s.is_retry_of_refused(me, sent("2", 2)));
}

TEST(sent_creates, where_the_two_cannot_be_told_apart_the_older_job_is_meant) {
  sent_creates s;
  s.recorded(me, sent("0", 0), at(0));
  s.refused(me, sent("0", 1), at(1));
  EXPECT_FALSE(s.is_retry_of_refused(me, sent("1", 2))) << "the first one has not got its response";
  s.responded(me, sent("0", 0));
  EXPECT_TRUE(s.is_retry_of_refused(me, sent("1", 3)));
  // A response that was never written is forgotten when no SDK would retry any more.
  s.recorded(me, sent("0", 10), at(10));
  s.refused(me, sent("0", 500), at(500));
  EXPECT_TRUE(s.is_retry_of_refused(me, sent("1", 501)));
}

TEST(sent_creates, a_key_is_no_count) {
  sent_creates s;
  const auto key = **idempotency_of({1, "k", {}, {}}, "a cat", at(0));
  s.refused(me, key, at(0));
  EXPECT_FALSE(s.is_retry_of_refused(me, key));
}

TEST(sent_creates, memory_is_bounded) {
  sent_creates s;
  s.refused(me, sent("0", 0), at(0));
  for (int i = 0; i < 100'000; ++i) s.refused(me, sent("0", 0, {}, std::to_string(i)), at(0));
  EXPECT_FALSE(s.is_retry_of_refused(me, sent("1", 1))) << "the oldest is forgotten";
  EXPECT_TRUE(s.is_retry_of_refused(me, sent("1", 1, {}, "99999")));
}

// How long ago the first send may have been: as long as that SDK goes on.
TEST(idempotency, the_time_of_a_retry_is_its_sdks) {
  struct {
    const char* count;
    const char* timeout;
    int seconds;
  } const table[] = {
      {"0", "", 120},    {"1", "", 240},       {"2", "", 360},   {"1", "60", 242},   {"1", "600", 1'322},
      {"1", "0.5", 122}, {"1", "1e99", 7'322}, {"1", "-5", 240}, {"1", "soon", 240}, {"1", "nan", 240},
  };
  for (const auto& row : table) {
    EXPECT_EQ(at(10'000) - sent(row.count, 10'000, row.timeout).since, std::chrono::seconds(row.seconds))
        << row.count << " " << row.timeout;
  }
}

}  // namespace
}  // namespace relay
