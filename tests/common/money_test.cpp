// Amounts, prices, and what a change of a task means in money.

#include <gtest/gtest.h>

#include <limits>

#include "common/base/json.hpp"
#include "common/base/money.hpp"
#include "common/engine/ledger.hpp"
#include "common/engine/price.hpp"
#include "tests/support/luma.hpp"

namespace relay {
namespace {

money amount(std::string_view text) {
  const auto m = parse_money(text);
  EXPECT_TRUE(m) << text;
  return m.value_or(money{});
}

TEST(money, is_read_exactly_and_written_as_short_as_it_can_be) {
  struct sample {
    const char* text;
    std::int64_t millionths;
    const char* written;
  };
  const sample table[] = {
      {"0", 0, "0.00"},
      {"12", 12'000'000, "12.00"},
      {"0.4", 400'000, "0.40"},
      {"0.40", 400'000, "0.40"},
      {"0.000001", 1, "0.000001"},
      {"-0.000125", -125, "-0.000125"},
      {"-3.5", -3'500'000, "-3.50"},
      {"007.100", 7'100'000, "7.10"},
      {"0.1", 100'000, "0.10"},
      {"1000000000", 1'000'000'000'000'000, "1000000000.00"},
  };
  for (const sample& s : table) {
    EXPECT_EQ(amount(s.text).millionths, s.millionths) << s.text;
    EXPECT_EQ(to_text(money{s.millionths}), s.written);
  }
  EXPECT_EQ(to_text(money{std::numeric_limits<std::int64_t>::min()}), "-9223372036854.775808");
}

TEST(money, what_is_no_amount_is_refused) {
  for (const char* text : {"", "-", ".", ".5", "5.", "+1", "1e3", "1,5", " 1", "1 ", "0x1", "1.0000001",
                           "--1", "1000000000.000001", "99999999999999999999", "nan", "1.-5", "１"}) {
    EXPECT_FALSE(parse_money(text)) << text;
  }
}

TEST(money, is_scaled_to_the_nearest_millionth) {
  EXPECT_EQ(scaled({10}, 1, 3).millionths, 3);
  EXPECT_EQ(scaled({5}, 1, 2).millionths, 3) << "halves away from zero";
  EXPECT_EQ(scaled({-5}, 1, 2).millionths, -3);
  EXPECT_EQ(scaled(amount("0.40"), 800'000, 1'000'000), amount("0.32"));
  EXPECT_EQ(scaled(max_money, 1'000, 1), max_money) << "never beyond the limit";
  EXPECT_EQ(scaled(-max_money, 1'000, 1), -max_money);
}

TEST(lengths, are_read_as_clients_write_them) {
  const std::pair<const char*, std::int64_t> table[] = {
      {"5s", 5'000}, {"9s", 9'000}, {"5", 5'000}, {"2.5s", 2'500}, {"500ms", 500}, {"0", 0},     {"", 0},
      {"s", 0},      {"-5s", 0},    {"five", 0},  {"5 s", 0},      {"1e3s", 0},    {"86401s", 0}};
  for (const auto& [text, ms] : table)
    EXPECT_EQ(length_of(text).value_or(milliseconds(0)).count(), ms) << text;
}

TEST(lengths, of_one_length_have_one_word) {
  const std::pair<const char*, const char*> table[] = {
      {"5s", "5s"}, {"5", "5s"}, {"5.0s", "5s"}, {"2.5s", "2500ms"}, {"long", "long"}, {"", ""}, {"*", "*"}};
  for (const auto& [sent, word] : table) EXPECT_EQ(duration_word(sent), word);
}

TEST(patterns, a_star_stands_for_any_characters) {
  struct sample {
    const char *pattern, *word;
    bool fits;
  };
  const sample table[] = {{"*", "", true},
                          {"*", "ray-2", true},
                          {"", "", true},
                          {"", "a", false},
                          {"ray-*", "ray-2", true},
                          {"ray-*", "xray-2", false},
                          {"*-flash*", "a-flash-2", true},
                          {"a*b*c", "a-b-b-c", true},
                          {"a*b*c", "a-b-b", false},
                          {"**", "x", true},
                          {"a*a", "a", false},
                          {"720p", "720p", true},
                          {"720p", "1080p", false},
                          {"*a", "aab", false},
                          {"*ab", "aab", true}};
  for (const sample& s : table) EXPECT_EQ(matches(s.pattern, s.word), s.fits) << s.pattern << " " << s.word;
}

job_traits traits(const char* body, const relay::action& a = luma::actions::generations,
                  const model_names& names = {}) {
  return traits_of(std::string_view(body), a, names);
}

TEST(traits, are_what_the_request_says_in_official_words) {
  const model_names names{{{"ray-v2", "ray-2"}}, {{"image", "photon-1"}}};
  job_traits t = traits(R"({"prompt":"abc","model":"ray-v2","resolution":"720p","duration":"9s"})",
                        luma::actions::generations, names);
  EXPECT_EQ(t, (job_traits{"ray-2", "720p", "9s", milliseconds(9'000)}));
  t = traits(R"({"prompt":"abc"})");
  EXPECT_EQ(t, (job_traits{"ray-2", "", "", std::nullopt})) << "the model that it gets when it names none";
  EXPECT_EQ(traits(R"({"prompt":"abc"})", luma::actions::image, names).model, "photon-1");
  EXPECT_EQ(traits(R"({"model":"luma_video_api"})").model, "ray-2") << "a name for billing is no model";
  EXPECT_EQ(traits(R"({"id":"x"})", luma::actions::upscale).model, "");
  EXPECT_EQ(traits(R"({"duration":5})").length, milliseconds(5'000));
  EXPECT_EQ(traits("not JSON"), job_traits{});
  const relay::action plain{"other", "thing"};
  EXPECT_EQ(traits(R"({"model":"x"})", plain), job_traits{});
}

TEST(prices, the_first_row_that_applies_decides) {
  const std::vector<price_rule> table = {
      {"image", "*", "*", "*", amount("0.015"), false},
      {"*", "ray-flash-2", "*", "5s", amount("0.10"), false},
      {"*", "ray-flash-2", "*", "*", amount("0.03"), true},
      {"*", "ray-2", "", "", amount("0.50"), false},
      {"*", "ray-*", "1080p", "*", amount("0.20"), true},
  };
  struct sample {
    const char* body;
    const char* price;  // null: none
  };
  const sample samples[] = {
      {R"({"model":"ray-flash-2","duration":"5s"})", "0.10"},
      {R"({"model":"ray-flash-2","duration":"9s"})", "0.27"},
      {R"({"model":"ray-flash-2"})", nullptr},
      {R"({"model":"ray-flash-2","duration":"long"})", nullptr},
      {R"({})", "0.50"},
      {R"({"resolution":"720p"})", nullptr},
      {R"({"resolution":"1080p","duration":"5s"})", "1.00"},
  };
  for (const sample& s : samples) {
    const auto price = price_of(table, luma::actions::generations, traits(s.body));
    EXPECT_EQ(price.has_value(), s.price != nullptr) << s.body;
    if (price && s.price != nullptr) EXPECT_EQ(*price, amount(s.price)) << s.body;
  }
  EXPECT_EQ(price_of(table, luma::actions::image, traits(R"({})", luma::actions::image)), amount("0.015"));
  EXPECT_EQ(price_of({}, luma::actions::image, {}), std::nullopt);
}

// ---- the ledger

constexpr timestamp start{std::chrono::hours(480'000)};

task job(task_state s, const char* price = "0.40") {
  task t = test::luma_task();
  t.id = "t-1";
  t.owner = 7;
  t.token = 9;
  t.state = s;
  t.price = amount(price);
  t.upstream = "luma";
  t.upstream_id = "u-1";
  t.created_at = start;
  t.started_at = start + std::chrono::seconds(2);
  if (is_terminal(s)) t.finished_at = start + std::chrono::seconds(62);
  return t;
}

std::string told(const booking& b) {
  std::string out;
  if (b.ledger)
    out += std::string(name_of(b.ledger->kind)) + " " + to_text(b.ledger->amount) + " held " +
           to_text(b.ledger->held);
  for (const usage_entry& u : b.usage)
    out += (out.empty() ? "" : "; ") + std::string(name_of(u.outcome)) + " " + std::to_string(u.jobs) + " " +
           to_text(u.amount);
  return out.empty() ? "nothing" : out;
}

TEST(ledger, every_change_of_state_means_one_thing) {
  const booking_facts charges{amount("0.10"), "ray-2", true};
  const booking_facts forgives{amount("0.10"), "ray-2", false};
  for (const task_state s : all_states) {
    const task after = job(s);
    if (!is_terminal(s)) EXPECT_EQ(told(booking_of(nullptr, after, charges)), "hold 0.00 held 0.40");
    EXPECT_EQ(told(booking_of(&after, after, charges)), "nothing") << "nothing has changed";
  }
  for (const task_state from : all_states) {
    if (is_terminal(from)) continue;
    const task before = job(from);
    for (const task_state to : all_states) {
      const std::string expected = to == task_state::completed ? "charge -0.40 held -0.40; completed 1 0.40"
                                   : to == task_state::failed  ? "release 0.00 held -0.40; failed 1 0.00"
                                                               : "nothing";
      const task after = job(to);
      EXPECT_EQ(told(booking_of(&before, after, charges)), expected) << name_of(from) << " " << name_of(to);
      EXPECT_EQ(calls_for_booking(&before, after), is_terminal(to));
    }
  }
  const task failed = job(task_state::failed), completed = job(task_state::completed);
  EXPECT_EQ(told(booking_of(&failed, completed, charges)),
            "charge -0.40 held 0.00; failed -1 0.00; completed 1 0.40");
  EXPECT_EQ(told(booking_of(&failed, completed, forgives)), "failed -1 0.00; completed 1 0.00");
}

TEST(ledger, what_costs_nothing_is_only_counted) {
  const booking_facts facts{amount("0.10"), "ray-2", true};
  const task pending = job(task_state::pending, "0"), completed = job(task_state::completed, "0");
  EXPECT_FALSE(calls_for_booking(nullptr, pending));
  EXPECT_EQ(told(booking_of(nullptr, pending, facts)), "nothing");
  EXPECT_EQ(told(booking_of(&pending, completed, facts)), "completed 1 0.00");
}

TEST(ledger, rows_say_whose_and_what_they_are) {
  const task before = job(task_state::running), after = job(task_state::completed);
  const booking b = booking_of(&before, after, {amount("0.10"), "ray-2", true});
  ASSERT_TRUE(b.ledger);
  ledger_entry row;
  row.kind = ledger_kind::charge;
  row.account = 7;
  row.token = 9;
  row.amount = row.held = -amount("0.40");
  row.cost = amount("0.10");
  row.task_id = "t-1";
  row.upstream = "luma";
  row.upstream_id = "u-1";
  row.at = after.finished_at;
  EXPECT_EQ(*b.ledger, row);
  usage_entry counted;
  counted.day = 20'000;
  counted.account = 7;
  counted.token = 9;
  counted.action = "generations";
  counted.model = "ray-2";
  counted.upstream = "luma";
  counted.jobs = 1;
  counted.amount = amount("0.40");
  counted.cost = amount("0.10");
  counted.wait = milliseconds(2'000);
  counted.run = milliseconds(60'000);
  ASSERT_EQ(b.usage.size(), 1u);
  EXPECT_EQ(b.usage.front(), counted);
  const task held = job(task_state::pending);
  EXPECT_TRUE(booking_of(nullptr, held, {}).ledger->must_be_covered) << "the only row that can be refused";
  EXPECT_FALSE(b.ledger->must_be_covered);
}

TEST(ledger, what_was_found_after_it_failed_is_taken_back_as_it_was_counted) {
  const task running = job(task_state::submitting);
  task failed = job(task_state::failed);
  failed.started_at = never;
  const booking counted = booking_of(&running, failed, {});
  task found = failed;
  found.started_at = failed.finished_at + std::chrono::hours(2);  // the list showed it then
  const booking taken_back = booking_of(&found, job(task_state::completed), {});
  ASSERT_EQ(taken_back.usage.size(), 2u);
  EXPECT_EQ(taken_back.usage[0].wait, -counted.usage.at(0).wait);
  EXPECT_EQ(taken_back.usage[0].run, -counted.usage.at(0).run);
}

TEST(ledger, a_refusal_of_the_upstream_is_counted_apart) {
  const task before = job(task_state::submitting);
  task after = job(task_state::failed);
  after.fail_status = 400;
  EXPECT_EQ(told(booking_of(&before, after, {})), "release 0.00 held -0.40; refused 1 0.00");
}

TEST(ledger, days_are_those_of_utc) {
  EXPECT_EQ(day_of(timestamp{}), 0);
  EXPECT_EQ(day_of(start), 20'000);
  EXPECT_EQ(day_of(start + std::chrono::hours(24) - std::chrono::microseconds(1)), 20'000);
}

}  // namespace
}  // namespace relay
