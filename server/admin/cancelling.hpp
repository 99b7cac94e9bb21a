#pragma once

// Ends many jobs that are not at an upstream. Loop thread.

#include "server/admin/admin_context.hpp"
#include "server/admin/customers.hpp"

namespace relay {

/// What was cancelled.
struct cancelled_jobs {
  std::int64_t pending = 0;
  std::int64_t submitting = 0;  // they end, unless an upstream has them

  cancelled_jobs& operator+=(const cancelled_jobs& other) {
    pending += other.pending;
    submitting += other.submitting;
    return *this;
  }
};
json::object shown(const cancelled_jobs& c);

/// Those that wait, are held, or are being submitted. Errors: those of the store.
awaitable<result<cancelled_jobs>> cancel_pending(const admin_context& in, whose of);
/// Nothing, when `keep` says so.
awaitable<result<cancelled_jobs>> cancel_unless(bool keep, const admin_context& in, whose of);
/// Lets those of a restored backup go out; how many. Errors: those of the store.
awaitable<result<std::int64_t>> release_held(const admin_context& in);

}  // namespace relay
