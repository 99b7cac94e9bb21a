#include "server/background/list_reader.hpp"

#include <algorithm>

namespace relay {
namespace {

constexpr auto longest_walk = std::chrono::minutes(15);
constexpr int max_failures = 5;     // of one page
constexpr int max_nothing_new = 3;  // pages: this upstream does not heed the offset
constexpr auto first_pause = std::chrono::milliseconds(250);
constexpr auto longest_pause = std::chrono::seconds(30);

}  // namespace

awaitable<list_reader::attempt> list_reader::read_page(const list_walk& walk) {
  const auto started = steady_clock::now();
  const std::string path = at_.speaks().build_list(walk.limit(), walk.offset());
  page_reader page(at_.speaks());
  body_sink sink = [&page](std::string_view part) { page.feed(part); };
  const exchange x = co_await at_.fetch_list(path, std::move(sink));
  attempt out{page.end(), x.timed_out || x.too_large, x.too_large};
  std::string problem = x.problem;
  if (x.responded && x.status != 200)
    problem = "status " + std::to_string(x.status) + ": " + at_.speaks().error_text(x.status, x.body);
  if (!problem.empty()) out.page = fail(errc::upstream_unavailable, problem);
  if (!out.page) out.page.error().retry_after_seconds = x.retry_after_seconds;
  metrics_.upstream_call(at_.name(), "list", out.page ? "ok" : "error",
                         std::chrono::duration<double>(steady_clock::now() - started).count());
  co_return out;
}

awaitable<void> list_reader::pause(int failures, int retry_after_seconds) {
  steady_timer timer(loop_.get_executor());
  const auto longer = std::max<steady_clock::duration>(first_pause * (1 << failures),
                                                       std::chrono::seconds(retry_after_seconds));
  timer.expires_after(std::min<steady_clock::duration>(longer, longest_pause));
  co_await timer.async_wait(as_result);
}

awaitable<result<void>> list_reader::read(listing& seen, on_page f) {
  list_walk walk;
  const auto until = steady_clock::now() + longest_walk;
  int failures = 0;
  int nothing_new = 0;
  bool read_any = false;
  while (steady_clock::now() < until && nothing_new < max_nothing_new) {
    attempt a = co_await read_page(walk);
    if (stopped_()) co_return fail(errc::upstream_unavailable, "the relay stops");
    if (!a.page) {
      // 1. Too much at once: less. A single item that is too much is left out.
      if (a.too_much && walk.halve()) continue;
      if (a.too_large) {
        walk.skip_item();
        listed_page odd;
        odd.items = 1;
        odd.odd.push_back(0);
        seen.add(odd);
        continue;
      }
      // 2. A failure: the same page again. When not even the first can be read, the caller waits.
      if (!read_any || ++failures >= max_failures) co_return std::unexpected(std::move(a.page.error()));
      co_await pause(failures, a.page.error().retry_after_seconds);
      continue;
    }
    // 3. A page.
    failures = 0;
    read_any = true;
    const std::size_t before = seen.size();
    list_walk::news n;
    n.joined = seen.add(*a.page);
    n.any_new = seen.size() > before;
    nothing_new = !n.any_new && a.page->items > 0 ? nothing_new + 1 : 0;
    const bool wanted = co_await f(*a.page);
    if (!walk.advance(*a.page, n)) {
      seen.end();
      break;
    }
    if (!wanted) break;
  }
  co_return result<void>{};
}

}  // namespace relay
