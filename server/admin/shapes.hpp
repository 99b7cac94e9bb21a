#pragma once

// What the objects of the admin API look like.

#include "server/admin/shape.hpp"

namespace relay::shapes {

// Requests.
extern const shape page, new_account, account_change, disabling, amount, amount_paid;
extern const shape token_query, new_token, token_change, rotation;
extern const shape job_query, jobs_to_cancel, callback_query, ledger_query, usage_query;
extern const shape key_of_upstream, new_admin_token;

// Responses.
extern const shape identity, account, account_with_balance, accounts, cancelled, webhook_secret, booked;
extern const shape token, tokens, made_token, rotated_token;
extern const shape job, jobs, job_state, released, callbacks, ledger, usage, usage_row;
extern const shape upstreams, upstream_mode, configuration, health, reloaded;
extern const shape audit, admin_token, admin_tokens, made_admin_token, problem;

/// The most that a page has.
inline constexpr std::int64_t max_items = 1'000;
inline constexpr std::int64_t default_items = 50;

}  // namespace relay::shapes
