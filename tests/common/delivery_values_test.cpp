// Small values of the way to the client and of the clock: signatures, addresses, times, rates.

#include <gtest/gtest.h>

#include "common/base/slewed_clock.hpp"
#include "common/base/url.hpp"
#include "common/engine/address_policy.hpp"
#include "common/engine/callbacks.hpp"
#include "common/engine/delivery_slots.hpp"
#include "common/engine/rate.hpp"
#include "common/engine/webhook_signature.hpp"
#include "server/asio.hpp"

namespace relay {
namespace {

constexpr timestamp t0{std::chrono::hours(1000)};

TEST(webhook, the_signature_of_the_standards_own_example) {
  // From the specification of Standard Webhooks: secret whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw.
  const unsigned char key[] = {0x31, 0xf2, 0x90, 0xf6, 0xbf, 0x06, 0x29, 0x8a, 0xab, 0x4f, 0x08, 0xd4,
                               0x3c, 0x3f, 0x08, 0x2c, 0xf6, 0x48, 0xa3, 0x62, 0xda, 0x2d, 0xa4, 0xb0};
  const secret bytes(std::string(reinterpret_cast<const char*>(key), sizeof key));
  EXPECT_EQ(webhook_secret_text(bytes), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
  EXPECT_EQ(webhook_signature(bytes, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, R"({"test": 2432232314})"),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}

TEST(webhook, a_message_tells_the_state_it_is_about) {
  task t;
  t.id = "t-1";
  t.pending_callbacks = "rc";
  t.callbacks_done = 2;
  t.state = task_state::completed;
  t.reply = R"({"assets":{"video":"v"}})";
  t.finished_at = t0;
  EXPECT_EQ(message_id(t), "msg_t-1_3");
  EXPECT_EQ(task_in_callback(t).state, task_state::running);
  EXPECT_TRUE(task_in_callback(t).reply.empty())
      << "what came later is not in it, so that every attempt is the same";
  t.pending_callbacks = "c";
  EXPECT_EQ(task_in_callback(t).state, task_state::completed);
  EXPECT_EQ(task_in_callback(t).reply, t.reply);
  t.pending_callbacks = "fc";
  EXPECT_EQ(task_in_callback(t).state, task_state::failed);
  EXPECT_FALSE(task_in_callback(t).fail_reason.empty());
}

TEST(address_policy, what_is_a_public_address) {
  struct {
    const char* address;
    bool allowed;
  } const table[] = {
      {"8.8.8.8", true},
      {"1.1.1.1", true},
      {"172.15.255.255", true},
      {"172.32.0.1", true},
      {"100.63.255.255", true},
      {"100.128.0.1", true},
      {"169.253.1.1", true},
      {"198.17.255.255", true},
      {"223.255.255.255", true},
      {"2606:4700::1111", true},
      {"2a00:1450:4001::1", true},
      {"2001:4860:4860::8888", true},
      {"0.0.0.0", false},
      {"0.1.2.3", false},
      {"10.0.0.1", false},
      {"127.0.0.1", false},
      {"127.255.255.254", false},
      {"100.64.0.1", false},
      {"100.127.255.255", false},
      {"169.254.169.254", false},
      {"172.16.0.1", false},
      {"172.31.255.255", false},
      {"192.168.1.1", false},
      {"192.0.0.8", false},
      {"192.0.2.1", false},
      {"192.88.99.1", false},
      {"198.18.0.1", false},
      {"198.19.255.255", false},
      {"198.51.100.7", false},
      {"203.0.113.9", false},
      {"224.0.0.1", false},
      {"239.255.255.255", false},
      {"240.0.0.1", false},
      {"255.255.255.255", false},
      {"::", false},
      {"::1", false},
      {"::ffff:8.8.8.8", false},
      {"::ffff:10.0.0.1", false},
      {"::8.8.8.8", false},
      {"64:ff9b::808:808", false},
      {"64:ff9b:1::1", false},
      {"fc00::1", false},
      {"fd12:3456::1", false},
      {"fe80::1", false},
      {"fec0::1", false},
      {"ff02::1", false},
      {"2001::1", false},
      {"2001:10::1", false},
      {"2001:db8::1", false},
      {"2002:a00:1::1", false},
      {"3fff::1", false},
      {"100::1", false},
      {"5f00::1", false},
  };
  for (const auto& row : table) {
    const auto a = asio::ip::make_address(row.address);
    EXPECT_EQ(a.is_v4() ? is_public(a.to_v4().to_bytes()) : is_public(a.to_v6().to_bytes()), row.allowed)
        << row.address;
  }
}

// Nobody's dead host and nobody's burst takes the slots of the others.
TEST(delivery_slots, one_client_takes_at_most_half) {
  delivery_slots slots(4, 10);
  using verdict = delivery_slots::verdict;
  EXPECT_EQ(slots.acquire(1, "https://a", t0), verdict::send);
  EXPECT_EQ(slots.acquire(1, "https://b", t0), verdict::send);
  EXPECT_EQ(slots.acquire(1, "https://c", t0), verdict::busy_owner) << "half is taken";
  EXPECT_EQ(slots.acquire(2, "https://a", t0), verdict::send);
  EXPECT_EQ(slots.acquire(2, "https://a", t0), verdict::send);
  EXPECT_EQ(slots.acquire(3, "https://a", t0), verdict::full);
  slots.finished(2, "https://a");
  EXPECT_EQ(slots.acquire(1, "https://c", t0), verdict::busy_owner);
  EXPECT_EQ(slots.free_for(1), 0u);
  EXPECT_EQ(slots.free_for(2), 1u);
  EXPECT_EQ(slots.acquire(3, "https://a", t0), verdict::send);
}

TEST(delivery_slots, a_host_has_its_own_limit) {
  delivery_slots slots(100, 2);
  using verdict = delivery_slots::verdict;
  EXPECT_EQ(slots.acquire(1, "https://a", t0), verdict::send);
  EXPECT_EQ(slots.acquire(1, "https://a", t0), verdict::send);
  EXPECT_EQ(slots.acquire(1, "https://a", t0), verdict::busy_host);
  EXPECT_EQ(slots.free_at(1, "https://a"), 0u);
  EXPECT_EQ(slots.free_at(2, "https://a"), 2u);
  EXPECT_EQ(slots.acquire(1, "https://b", t0), verdict::send) << "another host passes";
  EXPECT_EQ(slots.acquire(2, "https://a", t0), verdict::send)
      << "and another client's calls of the same host";
}

TEST(delivery_slots, a_host_that_fails_is_tried_one_at_a_time_and_then_left_for_a_while) {
  delivery_slots slots(100, 8);
  using verdict = delivery_slots::verdict;
  const auto fail_once = [&](timestamp now) {
    EXPECT_EQ(slots.acquire(1, "https://dead", now), verdict::send);
    slots.failed(1, "https://dead", now, 0);
    slots.finished(1, "https://dead");
  };
  fail_once(t0);
  EXPECT_EQ(slots.acquire(1, "https://dead", t0), verdict::send);
  EXPECT_EQ(slots.acquire(1, "https://dead", t0), verdict::busy_host) << "one attempt at a time";
  slots.failed(1, "https://dead", t0, 0);
  slots.finished(1, "https://dead");
  fail_once(t0);
  EXPECT_EQ(slots.acquire(1, "https://dead", t0), verdict::cool_down) << "the third failure in a row";
  slots.finished(1, "https://dead");
  EXPECT_EQ(slots.acquire(2, "https://dead", t0), verdict::send) << "another client's trouble is not theirs";
  const timestamp later = t0 + std::chrono::seconds(1);
  EXPECT_EQ(slots.acquire(1, "https://dead", later), verdict::send) << "after the cool-down";
  slots.succeeded(1, "https://dead");
  slots.finished(1, "https://dead");
  EXPECT_EQ(slots.acquire(1, "https://dead", later), verdict::send);
  EXPECT_EQ(slots.acquire(1, "https://dead", later), verdict::send) << "as any other host";
}

TEST(url, the_address_of_a_callback) {
  const auto whole = parse_web_address("https://Client.example.com:8443/hook/a%20b?x=1&y=%2F#frag");
  ASSERT_TRUE(whole);
  EXPECT_TRUE(whole->at.tls);
  EXPECT_EQ(whole->at.port, 8443);
  EXPECT_EQ(whole->target, "/hook/a%20b?x=1&y=%2F");
  EXPECT_EQ(parse_web_address("http://[2606:4700::1]")->target, "/");
  EXPECT_EQ(parse_web_address("http://[2606:4700::1]")->at.host, "2606:4700::1");
  EXPECT_EQ(parse_web_address("http://a?b")->target, "/?b");
  for (const char* bad :
       {"xxx", "", "ftp://a/", "http://", "//a/b", "http://u:p@a/", "http://a/\r\nX: y", "http://a b/",
        "javascript:alert(1)", "http://a:99999/", "http://example.com%0d%0aX-Evil:1/",
        "http://127.0.0.1%00x/", "http://[fe80::1%25eth0]/", "http://[v1.x]/", "http://%31%32%37.0.0.1/",
        "http://a%00b/"}) {
    EXPECT_FALSE(parse_web_address(bad)) << bad;
  }
}

TEST(time, what_upstreams_write) {
  const auto read = [](const char* text) {
    const auto t = from_iso(text);
    return t ? to_iso(*t, precision::microseconds) : "no time";
  };
  EXPECT_EQ(read("2024-11-27T13:50:56.313494Z"), "2024-11-27T13:50:56.313494Z");
  EXPECT_EQ(read("2025-05-19T13:51:42.302Z"), "2025-05-19T13:51:42.302000Z");
  EXPECT_EQ(read("2025-05-19 13:51:42"), "2025-05-19T13:51:42.000000Z");
  EXPECT_EQ(read("2025-05-19T13:51:42.123456789+08:00"), "2025-05-19T05:51:42.123456Z");
  for (const char* bad :
       {"", "yesterday", "2025-13-01T00:00:00Z", "2025-02-30T00:00:00Z", "2025-02-03T24:00:00Z",
        "2025-02-03T00:00:00.Z", "2025-02-03T00:00:00Zzz", "1732715456"}) {
    EXPECT_EQ(read(bad), "no time") << bad;
  }
}

TEST(rate, no_more_than_so_many_in_any_second) {
  for (const int per_second : {1, 7, 100, 5'000}) {
    rate r(per_second);
    std::vector<timestamp> taken;
    for (timestamp now = t0; now < t0 + std::chrono::seconds(5); now += std::chrono::microseconds(137)) {
      while (r.take(now)) taken.push_back(now);
    }
    std::size_t most = 0;
    std::size_t from = 0;
    for (std::size_t i = 0; i < taken.size(); ++i) {
      while (taken[i] - taken[from] >= std::chrono::seconds(1)) ++from;
      most = std::max(most, i - from + 1);
    }
    EXPECT_LE(most, static_cast<std::size_t>(per_second)) << per_second;
    EXPECT_GE(taken.size(), static_cast<std::size_t>(5 * per_second * 9 / 10)) << per_second;
  }
  rate one(1);
  EXPECT_TRUE(one.take(t0));
  EXPECT_FALSE(one.take(t0));
  EXPECT_FALSE(one.take(one.next() - std::chrono::milliseconds(1)));
  EXPECT_TRUE(one.take(one.next() + std::chrono::milliseconds(1)));
}

TEST(slewed_clock, leaves_out_pauses_and_steps_when_it_is_told_to) {
  using std::chrono::seconds;
  slewed_clock clock;
  clock.leave_out_pauses(seconds(5));
  EXPECT_EQ(clock.read(t0, seconds(10)), t0);
  // Stopped for an hour, in which both other clocks went on.
  const timestamp late = clock.read(t0 + seconds(3'600), seconds(3'610));
  EXPECT_EQ(late, t0 + std::chrono::milliseconds(5'500)) << "five seconds, and a tenth to catch up";
  clock.step_to(t0 + seconds(3'600));
  EXPECT_EQ(clock.read(t0 + seconds(3'601), seconds(3'611)), t0 + seconds(3'601));
  clock.step_to(t0);
  EXPECT_EQ(clock.read(t0 + seconds(3'602), seconds(3'612)), t0 + seconds(3'602)) << "never back";
}

TEST(slewed_clock, follows_jumps_slowly_and_never_goes_back) {
  using std::chrono::seconds;
  slewed_clock clock;
  EXPECT_EQ(clock.read(t0, seconds(10)), t0);
  EXPECT_EQ(clock.read(t0 + seconds(5), seconds(15)), t0 + seconds(5));
  // An hour forward: ten seconds pass as eleven.
  const auto hour = std::chrono::hours(1);
  EXPECT_EQ(clock.read(t0 + seconds(15) + hour, seconds(25)), t0 + seconds(16));
  // Two hours back.
  EXPECT_EQ(clock.read(t0 + seconds(25) - hour, seconds(35)), t0 + seconds(25));
  // It arrives in the end.
  timestamp shown;
  for (int i = 1; i <= 2'000; ++i) {
    const timestamp before = shown;
    shown = clock.read(t0 + seconds(25 + 20 * i) - hour, seconds(35 + 20 * i));
    EXPECT_GE(shown, before);
  }
  EXPECT_EQ(shown, t0 + seconds(25 + 20 * 2'000) - hour);
  EXPECT_EQ(clock.read(t0, seconds(0)), shown) << "a steady clock that goes back is not believed";
}

}  // namespace
}  // namespace relay
