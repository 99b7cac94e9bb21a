// luma-relay: the command line. Each subcommand is a function in server/cli.

#include <CLI/CLI.hpp>
#include <iostream>

#include "server/cli/commands.hpp"

int main(int argc, char** argv) {
  CLI::App app{"A self-hosted relay for Luma video jobs"};
  app.require_subcommand(1);
  app.footer(
      "Start with: luma-relay serve --config luma-relay.toml\nEvery key of the configuration: luma-relay "
      "check-config --example");

  std::string config;
  std::string name;
  const auto with_config = [&config](CLI::App* command) {
    command->add_option("-c,--config", config,
                        "TOML file; without it the environment (LUMA_RELAY_…) is all there is");
    return command;
  };

  int status = 0;
  using namespace relay;
  with_config(app.add_subcommand("serve", "Run the relay"))->callback([&] { status = cli::serve(config); });

  CLI::App* check = with_config(
      app.add_subcommand("check-config", "Print the effective configuration, or all that is wrong with it"));
  bool example = false;
  bool reference = false;
  check->add_flag("--example", example, "Print an example file with every key and its default");
  check->add_flag("--reference", reference, "Print the reference table");
  check->callback([&] {
    status = example ? cli::print_example() : reference ? cli::print_reference() : cli::check_config(config);
  });

  CLI::App* token =
      app.add_subcommand("token", "Create, list and revoke client tokens, also while the relay runs");
  token->require_subcommand(1);
  CLI::App* create = with_config(
      token->add_subcommand("create", "Make a token and print it, this once, on standard output"));
  create->add_option("--name", name, "What to call it: letters, digits, . _ - @")->required();
  create->callback([&] { status = cli::token_create(config, name); });
  with_config(token->add_subcommand("list", "Show all tokens, never their text"))->callback([&] {
    status = cli::token_list(config);
  });
  CLI::App* revoke = with_config(token->add_subcommand("revoke", "End a token at once"));
  revoke->add_option("name", name, "The name it was created with")->required();
  revoke->callback([&] { status = cli::token_revoke(config, name); });

  CLI::App* webhook = with_config(token->add_subcommand(
      "webhook-secret",
      "Print the secret that callbacks for a token's jobs are signed with (Standard Webhooks)"));
  webhook->add_option("name", name, "The name it was created with")->required();
  bool rotate = false;
  webhook->add_flag("--rotate", rotate, "Make a new one first; the old one ends at once");
  webhook->callback([&] { status = cli::token_webhook_secret(config, name, rotate); });

  CLI::App* task = app.add_subcommand("task", "Look at jobs and help them on, also while the relay runs");
  task->require_subcommand(1);
  cli::task_list_options listed;
  std::string id;
  bool as_json = false;
  CLI::App* list = with_config(task->add_subcommand("list", "Show the newest jobs of all tokens"));
  list->add_option("--state", listed.state,
                   "Only these: pending, submitting, ambiguous, queued, dreaming, completed, failed "
                   "or undelivered (the callback was not taken)");
  list->add_option("--token", listed.token, "Only those of the token with this name");
  list->add_option("--limit", listed.limit, "How many")->check(CLI::Range(1, 1'000))->capture_default_str();
  list->callback([&] { status = cli::task_list(config, listed); });
  const auto with_id = [&id, &with_config](CLI::App* command) {
    with_config(command)->add_option("id", id, "The job's id, as clients know it")->required();
    return command;
  };
  CLI::App* show = with_id(task->add_subcommand("show", "Show all that is known of one job"));
  show->add_flag("--json", as_json, "As one line of JSON");
  show->callback([&] { status = cli::task_show(config, id, as_json); });
  CLI::App* cancel = with_config(
      task->add_subcommand("cancel-pending", "End a job that waits to be submitted, or all of them"));
  bool all = false;
  cancel->add_option("id", id, "The job's id, as clients know it");
  cancel->add_flag("--all", all, "All that wait; for a backup that was restored, before its first start");
  cancel->require_option(1, 2);
  cancel->callback([&] {
    if (all == !id.empty()) throw CLI::RequiredError("one of ID and --all");
    status = all ? cli::task_cancel_all_pending(config) : cli::task_cancel_pending(config, id);
  });
  with_id(task->add_subcommand("retry-callback", "Send a job's callback now, or the last one once more"))
      ->callback([&] { status = cli::task_retry_callback(config, id); });

  std::string backup_file;
  CLI::App* backup = with_config(app.add_subcommand(
      "backup", "Copy the database to a new file and check the copy, also while the relay runs"));
  backup->add_option("file", backup_file, "The new file")->required();
  backup->callback([&] { status = cli::backup(config, backup_file); });

  app.add_subcommand("version", "Print the version")->callback([] {
    std::cout << "luma-relay " RELAY_VERSION "\n";
  });

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    const int shown = app.exit(e);
    return shown == 0 ? 0 : 2;
  } catch (const std::exception& e) {
    std::cerr << "luma-relay: " << e.what() << "\n";
    return 1;
  }
  return status;
}
