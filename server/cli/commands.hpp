#pragma once

// The subcommands of luma-relay. Each returns the exit status: 0 done, 1 failed, 2 the command line or the
// configuration is wrong.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "config/config.hpp"

namespace relay::cli {

int serve(const std::string& config_file);
/// `probe`: the upstreams are asked, as upstream_check() does, instead of the configuration being printed.
int check_config(const std::string& config_file, bool probe);
int print_example();
int print_reference();

struct account_options {
  std::optional<std::string> new_name, note, contact;  // nullopt: not said
  std::optional<int> weight;
  std::optional<std::vector<std::string>> actions;
  std::optional<std::vector<std::string>> models;
  std::optional<bool> prepaid;
  std::optional<std::string> group;
  std::vector<std::string> limits;  // "NAME=NUMBER", or "NAME=default"
};
int account_create(const std::string& config_file, const std::string& name, const account_options& o);
int account_list(const std::string& config_file);
int account_show(const std::string& config_file, const std::string& name);
int account_set(const std::string& config_file, const std::string& name, const account_options& o);
int account_enable(const std::string& config_file, const std::string& name);
int account_disable(const std::string& config_file, const std::string& name, bool keep_pending);
/// `command`: "topup" or "adjust"; `amount`: decimal text.
int account_money(const std::string& config_file, const std::string& command, const std::string& name,
                  const std::string& amount, const std::string& note);
int account_webhook_secret(const std::string& config_file, const std::string& name, bool rotate);

struct ledger_options {
  std::string account, job;  // empty: of all
  std::int64_t before = 0;   // rows with a smaller number; 0: from the newest on
  std::int64_t limit = 50;
  bool as_json = false;
};
int ledger_list(const std::string& config_file, const ledger_options& o);

struct usage_options {
  std::string since, until;  // days; empty: the last 30
  std::string by;            // empty: account,day
  std::string account;       // empty: of all
  std::string format = "table";
};
int usage(const std::string& config_file, const usage_options& o);

struct price_options {
  std::string file;    // a request, as clients send it; "-": standard input
  std::string action;  // the kind of job
  std::string group;   // of the account; empty: none
};
int price(const std::string& config_file, const price_options& o);

struct token_options {
  std::string name;
  std::string account;            // empty: the one with the token's name
  std::int64_t expires_in_s = 0;  // 0: never
  std::vector<std::string> addresses;
  std::vector<std::string> limits;  // as above
};
struct token_change_options {
  std::optional<std::string> new_name;
  std::optional<std::int64_t> expires_in_s;           // 0: never
  std::optional<std::vector<std::string>> addresses;  // "any": from any
  std::vector<std::string> limits;
};
int token_set(const std::string& config_file, const std::string& name, const token_change_options& o);
int token_create(const std::string& config_file, const token_options& o);
/// `account` empty: of all.
int token_list(const std::string& config_file, const std::string& account);
int token_revoke(const std::string& config_file, const std::string& name, bool keep_pending);
/// `grace_s`: seconds for which the old secret still works.
int token_rotate(const std::string& config_file, const std::string& name, std::int64_t grace_s);

/// `role`: viewer, operator or owner; `expires_in_s`: 0: never.
int admin_token_create(const std::string& config_file, const std::string& name, const std::string& role,
                       std::int64_t expires_in_s);
int admin_token_list(const std::string& config_file);
int admin_token_revoke(const std::string& config_file, const std::string& name);
int audit_list(const std::string& config_file, std::int64_t limit, bool as_json);

struct task_list_options {
  std::string state;             // empty: any, of all of these
  std::string account, token;    // their names
  std::string upstream, action;  // theirs
  std::string since, until;      // times, or days
  std::string text;              // the beginning of the id, or a part of the upstream's id
  int limit = 50;
};
int task_list(const std::string& config_file, const task_list_options& o);
int task_show(const std::string& config_file, const std::string& id, bool as_json);
/// Of all that are held when `id` is empty.
int task_release(const std::string& config_file, const std::string& id);
int task_cancel_pending(const std::string& config_file, const std::string& id);
/// Of one account, of one token, or of all when both are empty.
int task_cancel_all_pending(const std::string& config_file, const std::string& account,
                            const std::string& token);
int task_retry_callback(const std::string& config_file, const std::string& id);
/// `account` empty: of all.
int callback_list(const std::string& config_file, const std::string& account);

int upstream_list(const std::string& config_file, bool as_json);
/// Asks each upstream of the configuration, or those of this name, whether it can be used; 1: one cannot.
int upstream_check(const std::string& config_file, const std::string& name);
int probe_upstreams(const config& settings, const std::string& name);
/// `command`: "pause", "resume" or "drain".
int upstream_mode(const std::string& config_file, const std::string& command, const std::string& name);
int reload(const std::string& config_file);

int backup(const std::string& config_file, const std::string& to);
int restore(const std::string& config_file, const std::string& from);

}  // namespace relay::cli
