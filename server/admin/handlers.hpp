#pragma once

// The operations of the admin API, one function each; admin_routes.cpp says what each takes and answers.

#include "server/admin/admin_route.hpp"

namespace relay::admin {

/// The account of the path, as the client saw it last. Errors: not_found, 412.
awaitable<result<account>> account_of(admin_call& c);

awaitable<answered> who_am_i(admin_call& c);

awaitable<answered> list_accounts(admin_call& c);
awaitable<answered> create_account(admin_call& c);
awaitable<answered> get_account(admin_call& c);
awaitable<answered> change_account(admin_call& c);
awaitable<answered> enable_account(admin_call& c);
/// Its tokens are refused from now on, and what it has not submitted is cancelled unless `keep_pending`.
awaitable<answered> disable_account(admin_call& c);
awaitable<answered> get_webhook_secret(admin_call& c);
awaitable<answered> rotate_webhook_secret(admin_call& c);
awaitable<answered> top_up_account(admin_call& c);
awaitable<answered> adjust_account(admin_call& c);

awaitable<answered> list_tokens(admin_call& c);
awaitable<answered> create_token(admin_call& c);
awaitable<answered> get_token(admin_call& c);
awaitable<answered> change_token(admin_call& c);
/// Requests with it are refused from now on, and what was created with it and not submitted is cancelled
/// unless `keep_pending`.
awaitable<answered> revoke_token(admin_call& c);
/// Another secret for the same token; the old one works for `grace_s`.
awaitable<answered> rotate_token(admin_call& c);

awaitable<answered> list_jobs(admin_call& c);
awaitable<answered> get_job(admin_call& c);
awaitable<answered> cancel_job(admin_call& c);
awaitable<answered> release_job(admin_call& c);
awaitable<answered> cancel_jobs(admin_call& c);
awaitable<answered> release_jobs(admin_call& c);
awaitable<answered> list_callbacks(admin_call& c);
awaitable<answered> retry_callback(admin_call& c);

awaitable<answered> list_ledger(admin_call& c);
awaitable<answered> get_usage(admin_call& c);

awaitable<answered> list_upstreams(admin_call& c);
awaitable<answered> pause_upstream(admin_call& c);
awaitable<answered> resume_upstream(admin_call& c);
awaitable<answered> drain_upstream(admin_call& c);

awaitable<answered> get_configuration(admin_call& c);
awaitable<answered> get_health(admin_call& c);
awaitable<answered> reload(admin_call& c);
awaitable<answered> back_up(admin_call& c);
/// Of copies that were being made when a process ended.
void remove_unfinished_copies(const std::string& database);
awaitable<answered> list_audit(admin_call& c);
awaitable<answered> list_admin_tokens(admin_call& c);
awaitable<answered> create_admin_token(admin_call& c);
awaitable<answered> revoke_admin_token(admin_call& c);

}  // namespace relay::admin
