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
