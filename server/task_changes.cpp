#include "server/task_changes.hpp"

#include <spdlog/logger.h>

#include "server/await_store.hpp"
#include "server/clock.hpp"
#include "server/entropy.hpp"

namespace relay {

awaitable<result<applied>> task_changes::apply(std::string id, task_event e, audit_of why) {
  for (;;) {
    auto loaded = co_await load_task(store_, id);
    if (!loaded) co_return std::unexpected(std::move(loaded.error()));
    const task_ptr before = std::move(*loaded);
    if (!before) co_return fail(errc::task_not_found, "task " + id + " is no longer there");
    change c{before, advance(*before, e, now(), policy_, random_share()), std::nullopt};
    if (*c.after == *before) co_return applied{before, before};
    const std::shared_ptr<const booking> booked = billing_.booking_of(before.get(), *c.after);
    c.booked = booked;
    if (why) c.why = why(*before, *c.after);
    auto written = co_await from_store(store_, &store::write, std::move(c));
    if (written && booked) on_booked(*before, *written->value, *booked);
    if (written) co_return applied{before, std::move(written->value)};
    if (written.error().code != errc::conflict) co_return std::unexpected(std::move(written.error()));
  }
}

awaitable<result<applied>> task_changes::apply_surely(std::string id, task_event e) {
  steady_timer pause(loop_.get_executor());
  for (;;) {
    auto done = co_await apply(id, e);
    if (done || done.error().code == errc::task_not_found) co_return done;
    if (abandoned_) {
      log_.critical("task {}: stopping without a record of what happened to it: {}", id,
                    done.error().log.text);
      co_return done;
    }
    log_.error("task {}: cannot record what happened to it, trying again in 1 s: {}", id,
               done.error().log.text);
    pause.expires_after(std::chrono::seconds(1));
    co_await pause.async_wait(as_result);
  }
}

}  // namespace relay
