// What the pure parts of a request cost, each alone: reading a head, understanding a create, showing a task,
// advancing it by an upstream's reply. For a person who changes one of them; what a whole request costs is
// guarded by guard.py. bench_parts [--benchmark_filter=REGEX]

#include <benchmark/benchmark.h>

#include <string>

#include "common/base/json_arena.hpp"
#include "common/engine/lifecycle.hpp"
#include "common/engine/outcome.hpp"
#include "server/http/head_validator.hpp"
#include "tests/support/luma.hpp"

namespace relay::test {
namespace {

namespace actions = luma::actions;
namespace dialects = luma::dialects;
namespace forms = luma::forms;

constexpr timestamp now{std::chrono::hours(480'000)};

const std::string head =
    "POST /dream-machine/v1/generations HTTP/1.1\r\n"
    "Host: relay.example.com\r\n"
    "User-Agent: client/1.0\r\n"
    "Accept: */*\r\n"
    "Authorization: Bearer 0123456789abcdef0123456789abcdef0123456789abcdef\r\n"
    "Content-Type: application/json\r\n"
    "Content-Length: 120\r\n"
    "\r\n";

const std::string create =
    R"({"prompt":"A tiger walking in snow","model":"ray-2","aspect_ratio":"16:9","loop":false,)"
    R"("resolution":"720p","duration":"5s"})";
const std::string web_app_create =
    R"({"user_prompt":"A tiger walking in snow","aspect_ratio":"16:9","expand_prompt":true})";

// An upstream's reply about a job.
std::string reply(const std::string& state, const std::string& assets) {
  return R"({"id":"8f6e1c0a5d3b4e7f9a2c","generation_type":"video","state":")" + state +
         R"(","failure_reason":null,"created_at":"2025-05-19T13:51:42.302000Z","assets":)" + assets +
         R"(,"model":"ray-2","request":)" + create + "}";
}
const std::string running = reply("dreaming", "null");
const std::string completed =
    reply("completed", R"({"video":"https://cdn.example/v.mp4","image":"https://cdn.example/t.jpg"})");

task accepted_task() {
  task t = luma_task();
  t.row = 7;
  t.id = "01977f3e-77e5-781a-b015-48313946f33b";
  t.request = create;
  t.state = task_state::queued;
  t.attempts = 1;
  t.upstream = "a";
  t.upstream_id = "8f6e1c0a5d3b4e7f9a2c";
  t.reply = reply("queued", "null");
  t.created_at = t.updated_at = t.started_at = now - std::chrono::minutes(1);
  t.next_poll_at = now;
  t.deadline = now + std::chrono::hours(1);
  return t;
}

void gate(benchmark::State& state) {
  for (auto _ : state) {
    const auto end = http::find_head_end(head, 0, {});
    auto checked = http::check_head(std::string_view(head).substr(0, end->value()), {});
    if (!checked) {
      state.SkipWithError(checked.error().message.text.c_str());
      break;
    }
    benchmark::DoNotOptimize(checked);
  }
}
BENCHMARK(gate);

void parse(benchmark::State& state, const dialect& d, const std::string& body) {
  for (auto _ : state) {
    json_arena memory;
    const auto value = parse_strict(body, memory.storage());
    auto understood = d.parse_create(*value, actions::generations, {});
    if (!understood) {
      state.SkipWithError(understood.error().message.text.c_str());
      break;
    }
    benchmark::DoNotOptimize(understood);
  }
}
BENCHMARK_CAPTURE(parse, dream_machine, dialects::dream_machine, create);
BENCHMARK_CAPTURE(parse, web_app, dialects::web_app, web_app_create);

void render(benchmark::State& state, const task_form& how, task_state at) {
  task t = accepted_task();
  t.state = at;
  if (at == task_state::completed) {
    t.reply = completed;
    t.finished_at = now;
  }
  for (auto _ : state) {
    auto text = how.render(t, now);
    if (!text) {
      state.SkipWithError(text.error().message.text.c_str());
      break;
    }
    benchmark::DoNotOptimize(text);
  }
}
BENCHMARK_CAPTURE(render, created, forms::created, task_state::queued);
BENCHMARK_CAPTURE(render, dream_machine, forms::official, task_state::completed);
BENCHMARK_CAPTURE(render, web_app, forms::web_app, task_state::completed);
BENCHMARK_CAPTURE(render, tasks, forms::item, task_state::completed);

// With a copy of the task, as a poll makes one.
void advance_by(benchmark::State& state, const std::string& body, task_state to) {
  const task before = accepted_task();
  const policy limits;
  exchange x;
  x.sent_any = x.responded = true;
  x.status = 200;
  x.body = body;
  for (auto _ : state) {
    const poll_outcome outcome = classify_poll(x, luma::official_protocol);
    const task after = advance(before, outcome.event, now, limits, 0.5);
    if (after.state != to) {
      state.SkipWithError("the task is in another state");
      break;
    }
    benchmark::DoNotOptimize(after);
  }
}
BENCHMARK_CAPTURE(advance_by, running, running, task_state::running);
BENCHMARK_CAPTURE(advance_by, completed, completed, task_state::completed);

}  // namespace
}  // namespace relay::test

BENCHMARK_MAIN();
