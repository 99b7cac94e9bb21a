#include "server/cli/command_line.hpp"

#include <CLI/CLI.hpp>
#include <iostream>

#include "common/families.hpp"
#include "server/cli/commands.hpp"

namespace relay::cli {
namespace {

/// What the options were set to.
struct options {
  std::string config;
  std::string name;
  std::string id;
  std::string backup_file;
  account_options account;
  token_options token;
  token_change_options token_change;
  task_list_options list;
  ledger_options ledger;
  usage_options usage;
  price_options price;
  std::string amount, note;
  std::string role;  // of an admin token
  bool prepaid = false, unlimited = false;
  bool example = false;
  bool reference = false;
  bool probe = false;
  bool rotate = false;
  bool keep_pending = false;
  std::int64_t grace_s = 86'400;
  bool all = false;
  bool as_json = false;
  int status = 0;  // of the subcommand that ran
};

CLI::App* with_config(CLI::App* command, options& o) {
  command->add_option("-c,--config", o.config,
                      "TOML file; without it the environment (LUMA_RELAY_…) is all there is");
  return command;
}

CLI::App* with_id(CLI::App* command, options& o) {
  with_config(command, o)->add_option("id", o.id, "The job's id, as clients know it")->required();
  return command;
}

void add_server_commands(CLI::App& app, options& o) {
  with_config(app.add_subcommand("serve", "Run the relay"), o)->callback([&o] {
    o.status = serve(o.config);
  });

  CLI::App* check = with_config(
      app.add_subcommand("check-config", "Print the effective configuration, or all that is wrong with it"),
      o);
  check->add_flag("--example", o.example, "Print an example file with every key and its default");
  check->add_flag("--reference", o.reference, "Print the reference table");
  check->add_flag("--probe", o.probe,
                  "Ask each upstream, by a call that costs nothing, whether it can be used");
  check->callback([&o] {
    o.status = o.example     ? print_example()
               : o.reference ? print_reference()
                             : check_config(o.config, o.probe);
  });

  with_config(app.add_subcommand("reload",
                                 "Let the relay that runs read its configuration again, as SIGHUP does, and "
                                 "print what came of it"),
              o)
      ->callback([&o] { o.status = cli::reload(o.config); });

  CLI::App* backup = with_config(
      app.add_subcommand("backup",
                         "Copy the database to a new file and check the copy, also while the relay runs"),
      o);
  backup->add_option("file", o.backup_file, "The new file")->required();
  backup->callback([&o] { o.status = cli::backup(o.config, o.backup_file); });

  CLI::App* restore = with_config(
      app.add_subcommand("restore",
                         "Put a backup in the place of the database, while no relay runs; jobs that wait "
                         "in it are held until it is known what became of them"),
      o);
  restore->add_option("file", o.backup_file, "The backup")->required();
  restore->callback([&o] { o.status = cli::restore(o.config, o.backup_file); });

  app.add_subcommand("version", "Print the version")->callback([] {
    std::cout << "luma-relay " RELAY_VERSION "\n";
  });
}

// A time such as 30m, 24h or 7d, in seconds.
CLI::Option* in_seconds(CLI::Option* o, std::int64_t most_days) {
  return o
      ->transform(CLI::AsNumberWithUnit(
          std::map<std::string, std::int64_t>{{"s", 1}, {"m", 60}, {"h", 3'600}, {"d", 86'400}}))
      ->check(CLI::Range(std::int64_t{0}, most_days * 86'400));
}

void add_limits(CLI::App* command, std::vector<std::string>& into) {
  command->add_option(
      "--limit", into,
      "NAME=NUMBER, 0 for none, or NAME=default, repeated: pending, open, creates_per_minute, "
      "requests_per_minute, batch");
}

void add_account_commands(CLI::App& app, options& o) {
  CLI::App* account = app.add_subcommand(
      "account", "Create, list and change accounts, which are customers, also while the relay runs");
  account->require_subcommand(1);
  const auto with_name = [&](const char* command, const char* help) {
    CLI::App* one = with_config(account->add_subcommand(command, help), o);
    one->add_option("name", o.name, "Its name")->required();
    return one;
  };
  const auto with_texts = [&o](CLI::App* one) {
    one->add_option("--note", o.account.note, "For the operator alone");
    one->add_option("--contact", o.account.contact, "How to reach the customer");
    one->add_option("--weight", o.account.weight, "Jobs that go out in one turn of the accounts, from 1")
        ->check(CLI::Range(1, 1'000));
    const std::string kinds = families().action_names();
    one->add_option("--actions", o.account.actions,
                    "Kinds of jobs it may create, with commas between, or all: " + kinds)
        ->delimiter(',');
    one->add_option("--models", o.account.models,
                    "Models it may use, with commas between, or all; in them \"*\" stands for any characters")
        ->delimiter(',');
    add_limits(one, o.account.limits);
    CLI::Option* prepaid = one->add_flag("--prepaid", o.prepaid,
                                         "It pays in advance: what its balance does not cover is refused");
    one->add_flag("--unlimited", o.unlimited,
                  "It pays afterwards: its balance may go below zero (the default)")
        ->excludes(prepaid);
    one->add_option(
        "--group", o.account.group,
        "A [[group]] of the configuration, by whose factor its prices are multiplied; \"\": none");
  };
  const auto said = [&o] {
    if (o.prepaid || o.unlimited) o.account.prepaid = o.prepaid;
    return o.account;
  };
  CLI::App* create = with_name("create", "Make an account, which has no token yet");
  with_texts(create);
  create->callback([&o, said] { o.status = account_create(o.config, o.name, said()); });

  with_config(account->add_subcommand("list", "Show all accounts"), o)->callback([&o] {
    o.status = account_list(o.config);
  });
  with_name("show", "Show one account")->callback([&o] { o.status = account_show(o.config, o.name); });

  CLI::App* set = with_name("set", "Change an account; what is not said stays");
  set->add_option("--rename", o.account.new_name, "Another name: letters, digits, . _ - @");
  with_texts(set);
  set->callback([&o, said] { o.status = account_set(o.config, o.name, said()); });

  const std::pair<const char*, const char*> money[] = {
      {"topup", "Put an amount into an account's balance"},
      {"adjust", "Correct an account's balance by an amount, which may be below zero"}};
  for (const auto& [command, help] : money) {
    CLI::App* one = with_name(command, help);
    one->add_option("amount", o.amount, "In billing.currency, such as 25 or 0.40")->required();
    one->add_option("--note", o.note, "Why; it stays in the ledger");
    one->callback(
        [&o, name = command] { o.status = account_money(o.config, name, o.name, o.amount, o.note); });
  }

  CLI::App* disable =
      with_name("disable", "Refuse all tokens of an account at once, and end what it has not submitted yet");
  disable->add_flag("--keep-pending", o.keep_pending, "Its jobs that wait are still submitted");
  disable->callback([&o] { o.status = account_disable(o.config, o.name, o.keep_pending); });
  with_name("enable", "Let the tokens of an account work again")->callback([&o] {
    o.status = account_enable(o.config, o.name);
  });

  CLI::App* webhook =
      with_name("webhook-secret",
                "Print the secret that callbacks for an account's jobs are signed with (Standard Webhooks)");
  webhook->add_flag("--rotate", o.rotate, "Make a new one first; the old one ends at once");
  webhook->callback([&o] { o.status = account_webhook_secret(o.config, o.name, o.rotate); });
}

void add_money_commands(CLI::App& app, options& o) {
  CLI::App* ledger = app.add_subcommand(
      "ledger", "Look at the ledger: each top-up, hold, charge, release and adjustment of a balance");
  ledger->require_subcommand(1);
  CLI::App* list = with_config(ledger->add_subcommand("list", "Show its rows, the newest first"), o);
  list->add_option("--account", o.ledger.account, "Only those of this account");
  list->add_option("--job", o.ledger.job, "Only those of this job");
  list->add_option("--before", o.ledger.before, "Only rows with a smaller ID: the next page");
  list->add_option("--limit", o.ledger.limit, "How many")->check(CLI::Range(1, 1'000))->capture_default_str();
  list->add_flag("--json", o.ledger.as_json, "As one line of JSON, with all that a row holds");
  list->callback([&o] { o.status = ledger_list(o.config, o.ledger); });

  CLI::App* usage = with_config(
      app.add_subcommand("usage", "Show how many jobs ended, what they cost and how long they took"), o);
  usage->add_option("--since", o.usage.since,
                    "First day, such as 2026-11-01, in UTC; 29 days before the last");
  usage->add_option("--until", o.usage.until, "Last day; today");
  usage->add_option(
      "--by", o.usage.by,
      "Told apart by some of day, account, token, action, model, upstream, outcome, with commas "
      "between; account,day");
  usage->add_option("--account", o.usage.account, "Only this account");
  usage->add_option("--format", o.usage.format, "table, json or csv")
      ->check(CLI::IsMember({"table", "json", "csv"}))
      ->capture_default_str();
  usage->callback([&o] { o.status = cli::usage(o.config, o.usage); });

  CLI::App* price =
      with_config(app.add_subcommand("price", "Say what a request would cost, by the [[price]] sections"), o);
  price
      ->add_option("request", o.price.file,
                   "A file with the JSON that a client would send; -: standard input")
      ->required();
  price->add_option("--action", o.price.action, "The kind of job: " + families().action_names())
      ->default_str("generations");
  price->add_option("--group", o.price.group, "Of the account; none without this");
  price->callback([&o] {
    if (o.price.action.empty()) o.price.action = "generations";
    o.status = cli::price(o.config, o.price);
  });
}

void add_token_commands(CLI::App& app, options& o) {
  CLI::App* token = app.add_subcommand(
      "token", "Create, list and revoke the tokens of accounts, also while the relay runs");
  token->require_subcommand(1);
  const auto with_name = [&](const char* command, const char* help) {
    CLI::App* one = with_config(token->add_subcommand(command, help), o);
    one->add_option("name", o.token.name, "The name it was created with, or ACCOUNT/NAME")->required();
    return one;
  };

  CLI::App* create = with_config(
      token->add_subcommand("create", "Make a token and print it, this once, on standard output"), o);
  create->add_option("--name", o.token.name, "What to call it: letters, digits, . _ - @")->required();
  create->add_option(
      "--account", o.token.account,
      "Whose it is; without this the account with the same name, which is made if there is none");
  in_seconds(create->add_option("--expires", o.token.expires_in_s,
                                "After how long it stops to work, such as 12h or 90d; 0: never"),
             3'660)
      ->default_str("0");
  create->add_option("--address", o.token.addresses,
                     "From which it may be used, such as 203.0.113.0/24; may be repeated; all without this");
  add_limits(create, o.token.limits);
  create->callback([&o] { o.status = token_create(o.config, o.token); });

  CLI::App* list = with_config(token->add_subcommand("list", "Show all tokens, never their text"), o);
  list->add_option("--account", o.token.account, "Only those of this account");
  list->callback([&o] { o.status = token_list(o.config, o.token.account); });

  CLI::App* set = with_name("set", "Change a token without another secret; what is not said stays");
  set->add_option("--rename", o.token_change.new_name, "Another name: letters, digits, . _ - @");
  in_seconds(set->add_option("--expires", o.token_change.expires_in_s,
                             "After how long from now it stops to work, such as 12h or 90d; 0: never"),
             3'660);
  set->add_option("--address", o.token_change.addresses,
                  "From which it may be used, such as 203.0.113.0/24; may be repeated; any: from any");
  add_limits(set, o.token_change.limits);
  set->callback([&o] { o.status = token_set(o.config, o.token.name, o.token_change); });

  CLI::App* revoke = with_name("revoke", "End a token at once, and what it has not submitted yet");
  revoke->add_flag("--keep-pending", o.keep_pending, "Its jobs that wait are still submitted");
  revoke->callback([&o] { o.status = token_revoke(o.config, o.token.name, o.keep_pending); });

  CLI::App* rotate = with_name("rotate",
                               "Give a token a new secret and print it, this once, on standard output; its "
                               "name, and the jobs of its account, stay");
  in_seconds(rotate->add_option("--grace", o.grace_s,
                                "How long the old secret still works, such as 30m, 24h or 7d; 0: not at all"),
             366)
      ->default_str("24h");
  rotate->callback([&o] { o.status = token_rotate(o.config, o.token.name, o.grace_s); });
}

void add_task_commands(CLI::App& app, options& o) {
  CLI::App* task = app.add_subcommand("task", "Look at jobs and help them on, also while the relay runs");
  task->require_subcommand(1);

  CLI::App* list = with_config(task->add_subcommand("list", "Show the newest jobs of all accounts"), o);
  list->add_option(
      "--state", o.list.state,
      "Only these: pending, submitting, ambiguous, held (see restore), queued, running, completed, "
      "failed or undelivered (the callback was not accepted)");
  list->add_option("--account", o.list.account, "Only those of this account");
  list->add_option("--token", o.list.token, "Only those created with this token: NAME, or ACCOUNT/NAME");
  list->add_option("--upstream", o.list.upstream, "Only those of this upstream: NAME, or NAME/KEY");
  list->add_option("--action", o.list.action, "Only this kind of job: " + families().action_names());
  list->add_option("--since", o.list.since, "Created then or later: a day, or a time, in UTC");
  list->add_option("--until", o.list.until, "Created before that time, or on that day or before");
  list->add_option("--text", o.list.text, "The id begins with it, or it is in the upstream's id");
  list->add_option("--limit", o.list.limit, "How many")->check(CLI::Range(1, 1'000))->capture_default_str();
  list->callback([&o] { o.status = task_list(o.config, o.list); });

  CLI::App* show = with_config(
      task->add_subcommand("show", "Say what one job waits for or what became of it, and show all of it"), o);
  show->add_option("id", o.id, "The job's id as clients know it, its beginning, or the upstream's id")
      ->required();
  show->add_flag("--json", o.as_json, "As one line of JSON");
  show->callback([&o] { o.status = task_show(o.config, o.id, o.as_json); });

  CLI::App* release =
      with_config(task->add_subcommand(
                      "release", "Let a job go out that is held since a backup was restored, or all of them"),
                  o);
  release->add_option("id", o.id, "The job's id, as clients know it");
  release->add_flag("--all", o.all, "All that are held");
  release->callback([&o] {
    if (o.all == !o.id.empty()) throw CLI::ValidationError("task release", "give an id, or --all");
    o.status = task_release(o.config, o.id);
  });

  CLI::App* cancel = with_config(
      task->add_subcommand("cancel-pending", "End a job that waits to be submitted, or several of them"), o);
  cancel->add_option("id", o.id, "The job's id, as clients know it");
  cancel->add_option("--account", o.list.account, "All that wait of this account");
  cancel->add_option("--token", o.list.token,
                     "All that wait and were created with this token: NAME, or ACCOUNT/NAME");
  cancel->add_flag("--all", o.all, "All that wait, those that are held included");
  cancel->callback([&o] {
    const int said =
        int{o.all} + int{!o.id.empty()} + int{!o.list.account.empty()} + int{!o.list.token.empty()};
    if (said != 1)
      throw CLI::ValidationError("task cancel-pending", "give an id, --account NAME, --token NAME, or --all");
    o.status = o.id.empty() ? task_cancel_all_pending(o.config, o.list.account, o.list.token)
                            : task_cancel_pending(o.config, o.id);
  });

  with_id(task->add_subcommand("retry-callback", "Send a job's callback now, or the last one once more"), o)
      ->callback([&o] { o.status = task_retry_callback(o.config, o.id); });

  CLI::App* callback = app.add_subcommand("callback", "Look at callbacks that were not delivered");
  callback->require_subcommand(1);
  CLI::App* callbacks = with_config(callback->add_subcommand("list", "Show them, the newest job first"), o);
  callbacks->add_option("--account", o.list.account, "Only those of this account");
  callbacks->callback([&o] { o.status = callback_list(o.config, o.list.account); });
}

void add_admin_commands(CLI::App& app, options& o) {
  CLI::App* token = app.add_subcommand(
      "admin-token", "Create, list and revoke the tokens of the admin API, also while the relay runs");
  token->require_subcommand(1);
  CLI::App* create =
      with_config(token->add_subcommand("create", "Make one and print it, this once, on standard output"), o);
  create->add_option("--name", o.name, "What to call it: letters, digits, . _ - @")->required();
  create
      ->add_option("--role", o.role,
                   "viewer: reads; operator: changes accounts, tokens, jobs and upstreams too; owner: all")
      ->check(CLI::IsMember({"viewer", "operator", "owner"}))
      ->required();
  in_seconds(create->add_option("--expires", o.token.expires_in_s,
                                "After how long it stops to work, such as 12h or 90d; 0: never"),
             3'660)
      ->default_str("0");
  create->callback([&o] { o.status = admin_token_create(o.config, o.name, o.role, o.token.expires_in_s); });
  with_config(token->add_subcommand("list", "Show all of them, never their text"), o)->callback([&o] {
    o.status = admin_token_list(o.config);
  });
  CLI::App* revoke = with_config(token->add_subcommand("revoke", "End one at once"), o);
  revoke->add_option("name", o.name, "The name it was created with")->required();
  revoke->callback([&o] { o.status = admin_token_revoke(o.config, o.name); });

  CLI::App* audit =
      app.add_subcommand("audit", "Look at what was changed through the admin API, and by whom");
  audit->require_subcommand(1);
  CLI::App* list = with_config(audit->add_subcommand("list", "Show the newest changes first"), o);
  list->add_option("--limit", o.list.limit, "How many")->check(CLI::Range(1, 1'000))->capture_default_str();
  list->add_flag("--json", o.as_json, "As one line of JSON");
  list->callback([&o] { o.status = audit_list(o.config, o.list.limit, o.as_json); });
}

void add_upstream_commands(CLI::App& app, options& o) {
  CLI::App* upstream =
      app.add_subcommand("upstream", "Look at upstreams and their keys, and let them take jobs or not");
  upstream->require_subcommand(1);

  CLI::App* list = with_config(
      upstream->add_subcommand(
          "list", "Show what the relay that runs knows of each: state, jobs, limits, the last problem"),
      o);
  list->add_flag("--json", o.as_json, "As one line of JSON");
  list->callback([&o] { o.status = upstream_list(o.config, o.as_json); });

  CLI::App* check = with_config(
      upstream->add_subcommand("check", "Ask each, by a call that costs nothing, whether it can be used"), o);
  check->add_option("name", o.name, "Only this one; NAME is all its keys, NAME/KEY one of them");
  check->callback([&o] { o.status = upstream_check(o.config, o.name); });

  const std::pair<const char*, const char*> modes[] = {
      {"pause",
       "No more jobs go there, until resume; jobs that wait for it alone wait on; its own are polled"},
      {"resume", "Jobs go there again"},
      {"drain", "No new jobs go there; those accepted before still may, its own are polled to their end"}};
  for (const auto& [command, help] : modes) {
    CLI::App* one = with_config(upstream->add_subcommand(command, help), o);
    one->add_option("name", o.name, "NAME is all its keys, NAME/KEY one of them")->required();
    one->callback([&o, name = command] { o.status = upstream_mode(o.config, name, o.name); });
  }
}

}  // namespace

int run(int argc, char** argv) {
  CLI::App app{"A self-hosted relay for Luma video jobs"};
  app.require_subcommand(1);
  app.footer(
      "Start with: luma-relay serve --config luma-relay.toml\nEvery key of the configuration: luma-relay "
      "check-config --example");
  // Each subcommand runs as the callback of its parse, and leaves its exit status.
  options o;
  add_server_commands(app, o);
  add_account_commands(app, o);
  add_token_commands(app, o);
  add_money_commands(app, o);
  add_task_commands(app, o);
  add_upstream_commands(app, o);
  add_admin_commands(app, o);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    // Help and version end with 0; every error of usage with 2.
    const int shown = app.exit(e);
    return shown == 0 ? 0 : 2;
  }
  return o.status;
}

}  // namespace relay::cli
