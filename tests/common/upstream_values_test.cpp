// Small values of the way to upstreams: private hosts, proxies, ends of links, upstreams' own words, replies
// of the agents API.

#include <gtest/gtest.h>

#include "common/base/base64.hpp"
#include "common/base/url.hpp"
#include "common/engine/address_policy.hpp"
#include "common/engine/lifecycle.hpp"
#include "common/engine/upstream_words.hpp"
#include "common/families.hpp"
#include "common/luma/links.hpp"
#include "tests/support/luma.hpp"

namespace relay {
namespace {

TEST(upstream_values, hosts_of_private_networks) {
  for (const char* host : {"localhost", "sim", "relay.local", "a.internal", "db.LAN", "127.0.0.1", "10.1.2.3",
                           "192.168.0.7", "::1", "fd00::1", "169.254.1.1", "router.home.arpa"})
    EXPECT_TRUE(is_private_host(host)) << host;
  for (const char* host : {"api.lumalabs.ai", "9.9.9.9", "2620:fe::fe", "internal.example.com", "local.dev"})
    EXPECT_FALSE(is_private_host(host)) << host;
}

TEST(upstream_values, addresses_of_proxies) {
  const auto p = parse_proxy_address("https://me:p%40s%3as@proxy.example:8443");
  ASSERT_TRUE(p);
  EXPECT_TRUE(p->at.tls);
  EXPECT_EQ(p->at.host, "proxy.example");
  EXPECT_EQ(p->at.port, 8443);
  EXPECT_EQ(p->credentials.reveal(), "me:p@s:s");
  EXPECT_TRUE(parse_proxy_address("http://proxy:3128")->credentials.empty());
  for (const char* wrong :
       {"", "proxy:3128", "socks5://proxy:1080", "http://proxy/path", "http://user:word@"}) {
    const auto refused = parse_proxy_address(wrong);
    ASSERT_FALSE(refused) << wrong;
    EXPECT_EQ(refused.error().message.text.find("word"), std::string::npos) << "nothing of it is quoted";
  }
  EXPECT_EQ(to_base64(""), "");
  EXPECT_EQ(to_base64("me:p@ss"), "bWU6cEBzcw==");
}

TEST(upstream_values, ends_of_links) {
  const timestamp made = *from_iso("2025-02-05T10:15:00Z");
  struct {
    const char* url;
    timestamp at;
    std::int64_t after_s;
  } const table[] = {
      {"https://c/v.mp4", never, 0},
      {"https://c/v.mp4?X-Amz-Date=20250205T101500Z&X-Amz-Expires=3600", made + std::chrono::hours(1), 0},
      {"https://c/v.mp4?x-amz-expires=60&a=b&x-amz-date=20250205T101500Z#f", made + std::chrono::minutes(1),
       0},
      {"https://c/v.mp4?X-Amz-Expires=3600", never, 3'600},
      {"https://c/v.mp4?X-Goog-Date=20250205T101500Z&X-Goog-Expires=60", made + std::chrono::minutes(1), 0},
      {"https://c/v.mp4?Expires=1738750500&Signature=x", timestamp(std::chrono::seconds(1'738'750'500)), 0},
      {"https://c/v.mp4?Expires=soon", never, 0},
      {"https://c/v.mp4?X-Amz-Expires=-5", never, 0},
      {"https://c/v.mp4?X-Amz-Date=yesterday&X-Amz-Expires=60", never, 60},
      {"https://c/v.mp4?X-Amz-Expires=99999999999999999999", never, 0},
  };
  for (const auto& row : table) {
    const luma::link_end end = luma::end_of_link(row.url);
    EXPECT_EQ(end.at, row.at) << row.url;
    EXPECT_EQ(end.after, std::chrono::seconds(row.after_s)) << row.url;
  }
  // The earliest counts; what the client gave does not.
  const auto reply = parse_lenient(
      R"({"video":{"url":"https://c/a?X-Amz-Expires=900","download_url":"https://c/a?X-Amz-Expires=600"},)"
      R"("request":{"image":"https://c/a?X-Amz-Expires=5"},"list":["https://c/a?Expires=1738750500"]})");
  const luma::link_end all = luma::end_of_links(*reply);
  EXPECT_EQ(all.after, std::chrono::minutes(10));
  EXPECT_EQ(all.at, timestamp(std::chrono::seconds(1'738'750'500)));
}

TEST(upstream_values, words_of_upstreams_for_clients) {
  struct {
    const char *from, *to;
  } const table[] = {
      {"Frame moderation failed", "Frame moderation failed"},
      {"  a\r\nb  ", "a  b"},
      {"", ""},
      {"connect to 10.0.0.3:8000: refused", "connect to [internal]: refused"},
      {"host='worker-1.internal', port=80", "host='[internal]', port=80"},
      {"see https://docs.lumalabs.ai/errors?x=1", "see https://docs.lumalabs.ai/errors?x=1"},
      {"redis://:word@10.0.0.7:6379 is down", "[internal] is down"},
      {"http://user:word@db.local/x", "[internal]"},
      {"app/10.1.2.3:8080 said no", "[internal] said no"},
      {"model ray-2 at version 1.2 failed", "model ray-2 at version 1.2 failed"},
      {"localhost", "[internal]"},
  };
  for (const auto& row : table) EXPECT_EQ(upstream_words(row.from), row.to) << row.from;
  EXPECT_LE(upstream_words(std::string(100'000, 'x')).size(), 510u);
}

TEST(upstream_values, replies_of_the_agents_api) {
  const protocol& p = *families().find_protocol("agents");
  const auto queued = p.parse_job(
      R"({"id":"u","state":"queued","type":"video","model":"ray-3.2","created_at":"2026-06-01T00:00:00Z"})");
  ASSERT_TRUE(queued);
  EXPECT_EQ(queued->state, job_state::queued);
  EXPECT_EQ(p.parse_job(R"({"id":"u","state":"processing"})")->state, job_state::running);
  const auto done = p.parse_job(
      R"({"id":"u","state":"completed","output":[{"type":"video","url":"https://c/v.mp4"}],"failure_code":null})");
  EXPECT_EQ(done->state, job_state::completed);
  EXPECT_TRUE(done->has_result);
  EXPECT_EQ(done->links_for, std::chrono::hours(1)) << "as its documentation says";
  EXPECT_FALSE(p.parse_job(R"({"id":"u","state":"completed","output":[]})")->has_result);
  const auto failed = [&p](const char* more) {
    return p.parse_job(R"({"id":"u","state":"failed",)" + std::string(more) + "}")->failure_reason;
  };
  EXPECT_EQ(failed(R"("failure_code":"content_moderated","failure_reason":"The prompt was moderated")"),
            "The prompt was moderated (content_moderated)");
  EXPECT_EQ(failed(R"("failure_code":"budget_exhausted","failure_reason":null)"), "budget_exhausted");
  EXPECT_EQ(p.error_text(402, R"({"detail":"Insufficient credits"})"), "Insufficient credits");
}

// What the links of a result mean to a task.
TEST(upstream_values, links_in_the_life_of_a_task) {
  const timestamp now{std::chrono::hours(1)};
  task t = test::luma_task();
  t.state = task_state::running;
  t.upstream_id = "u";
  t.deadline = now + std::chrono::hours(1);
  job reported;
  reported.id = "u";
  reported.state = job_state::completed;
  reported.links_for = std::chrono::hours(1);
  t = advance(t, event::polled{reported, "{}"}, now, {}, 0);
  EXPECT_EQ(t.links_until, now + std::chrono::hours(1));
  reported.links_until = now + std::chrono::minutes(90);
  const timestamp later = now + std::chrono::hours(2);
  const task renewed = advance(t, event::links_renewed{reported, R"({"new":1})"}, later, {}, 0);
  EXPECT_EQ(renewed.reply, R"({"new":1})");
  EXPECT_EQ(renewed.links_until, now + std::chrono::minutes(90)) << "the earlier of the two";
  const task lost = advance(t, event::links_lost{}, later, {}, 0);
  EXPECT_EQ(lost.links_lost_at, later);
  EXPECT_FALSE(is_set(lost.links_until)) << "nobody is asked any more";
  EXPECT_EQ(lost.reply, t.reply);
  for (const task_state s : all_states) {
    if (s == task_state::completed) continue;
    task other = t;
    other.state = s;
    EXPECT_EQ(advance(other, event::links_renewed{reported, "{}"}, later, {}, 0), other) << name_of(s);
    EXPECT_EQ(advance(other, event::links_lost{}, later, {}, 0), other) << name_of(s);
  }
}

}  // namespace
}  // namespace relay
