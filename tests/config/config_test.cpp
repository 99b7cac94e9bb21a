#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <map>

#include "config/fields.hpp"
#include "config/load.hpp"

namespace relay {
namespace {

const std::string one_upstream =
    "[[upstream]]\nname = \"a\"\nurl = \"https://api.lumalabs.ai\"\nkey = \"k\"\n";

loaded_config load(const std::string& text, std::map<std::string, std::string> env = {}) {
  return load_config(text, "relay.toml",
                     [env = std::move(env)](const std::string& name) -> std::optional<std::string> {
                       const auto found = env.find(name);
                       if (found == env.end()) return std::nullopt;
                       return found->second;
                     });
}

std::string read(const std::string& path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), {}};
}

TEST(config, only_the_upstream_is_needed) {
  const loaded_config c = load(one_upstream);
  ASSERT_TRUE(c.problems.empty()) << to_string(c.problems[0]);
  EXPECT_EQ(c.value.server.listen, "127.0.0.1:8080");
  EXPECT_EQ(c.value.upstreams[0].base.host, "api.lumalabs.ai");
  EXPECT_EQ(c.value.upstreams[0].base.path, "");
}

TEST(config, the_official_prefix_may_be_given_or_not) {
  for (const char* url :
       {"https://x.y", "https://x.y/", "https://x.y/dream-machine/v1", "https://x.y/dream-machine/v1/"}) {
    const loaded_config c = load("[[upstream]]\nname=\"a\"\nkey=\"k\"\nurl=\"" + std::string(url) + "\"");
    ASSERT_TRUE(c.problems.empty()) << url;
    EXPECT_EQ(c.value.upstreams[0].base.path, "") << url;
  }
  EXPECT_EQ(load("[[upstream]]\nname=\"a\"\nkey=\"k\"\nurl=\"https://x.y/pro\"").value.upstreams[0].base.path,
            "/pro");
}

TEST(config, each_problem_names_file_line_and_key) {
  struct {
    const char* what;
    std::string text;
    std::vector<std::string> problems;  // the beginning of each
  } const table[] = {
      {"not TOML", "listen = ", {"relay.toml:1: not valid TOML"}},
      {"unknown section",
       "[sever]\n" + one_upstream,
       {"relay.toml:1: sever: no such section; there are [admin], [alerts], [assets], [billing], "
        "[callbacks], "
        "[credits], [dns], "
        "[limits], "
        "[log]"}},
      {"unknown key",
       one_upstream + "[server]\nlissten = \"x\"",
       {"relay.toml:6: server.lissten: no such key; [server] has listen,"}},
      {"unknown upstream key",
       one_upstream + "keey = \"x\"",
       {"relay.toml:5: upstream.1.keey: no such key; [upstream] has name,"}},
      {"wrong types",
       one_upstream + "[server]\nlisten = 8080\nsubmit_wait_ms = \"1s\"\ncors_origins = \"*\"",
       {"relay.toml:8: server.cors_origins: must be a list",
        "relay.toml:6: server.listen: must be text in quotes",
        "relay.toml:7: server.submit_wait_ms: must be a whole number from 0 to 55000 (milliseconds)"}},
      {"ranges",
       one_upstream + "[poll]\ninterval_ms = 1",
       {"relay.toml:6: poll.interval_ms: must be a whole number from 10 to"}},
      {"choices",
       one_upstream + "[log]\nlevel = \"loud\"",
       {"relay.toml:6: log.level: must be \"debug\", \"info\", \"warn\" or \"error\""}},
      {"addresses",
       one_upstream + "[server]\nlisten = \"8080\"",
       {"relay.toml: server.listen: must be ADDRESS:PORT"}},
      {"name servers",
       one_upstream + "[dns]\nservers = [\"9.9.9.9\", \"2620:fe::fe\", \"[::1]:5353\", \"dns.example\"]",
       {"relay.toml: dns.servers: 'dns.example' must be ADDRESS or ADDRESS:PORT"}},
      {"public url",
       one_upstream + "[server]\npublic_url = \"relay.example\"",
       {"relay.toml: server.public_url: must be an address"}},
      {"no upstream", "", {"relay.toml: upstream: there is no [[upstream]]"}},
      {"upstream as a section",
       "[upstream]\nname = \"a\"",
       {"relay.toml:1: upstream: each one is a section of its own", "relay.toml: upstream: there is no"}},
      {"empty upstream",
       "[[upstream]]\n",
       {"relay.toml: upstream.1.name: must be 1 to 64",
        "relay.toml: upstream.1.url: is missing; the official one is https://api.lumalabs.ai",
        "relay.toml: upstream.1.key: give exactly one of"}},
      {"two keys", one_upstream + "key_env = \"X\"", {"relay.toml: upstream.1.key: give exactly one of"}},
      {"same name",
       one_upstream + one_upstream,
       {"relay.toml: upstream.2.name: two upstreams have this name"}},
      {"key file",
       "[[upstream]]\nname=\"a\"\nurl=\"http://x\"\nkey_file=\"/nonexistent\"",
       {"relay.toml: upstream.1.key_file: cannot read a key"}},
      {"key env",
       "[[upstream]]\nname=\"a\"\nurl=\"http://x\"\nkey_env=\"NOT_SET\"",
       {"relay.toml: upstream.1.key_env: the environment variable NOT_SET"}},
      {"a name that is for no model",
       one_upstream + "[models]\naliases = [\"fast\"]\n",
       {"relay.toml: models.aliases: 'fast' must be NAME=MODEL"}},
      {"an action that is none",
       one_upstream + "[models]\ndefaults = [\"sing=ray-2\", \"=x\"]\n",
       {"relay.toml: models.defaults: '=x' must be NAME=MODEL",
        "relay.toml: models.defaults: 'sing' is no kind of job"}},
      {"keys as a list of text",
       one_upstream + "keys = [\"a\"]",
       {"relay.toml:5: upstream.1.keys: each one is a section of its own: [[upstream.keys]]"}},
      {"keys of an upstream",
       one_upstream + "[[upstream.keys]]\nname = \"b\"\nkey = \"x\"\nkeey = 1\n[[upstream.keys]]\nname = "
                      "\"b\"\n[[upstream.keys]]\nname = \"a/b\"\nkey = \"x\"\n",
       {"relay.toml:8: upstream.1.keys.1.keey: no such key; [upstream.keys] has name, key",
        "relay.toml: upstream.1.keys.2.name: two keys of this upstream have this name",
        "relay.toml: upstream.1.keys.2.key: give exactly one of",
        "relay.toml: upstream.1.keys.3.name: must be 1 to 64"}},
      {"prices",
       one_upstream + "[[upstream.price]]\nprice = \"x\"\n[[price]]\naction = \"sing\"\nprice = "
                      "0.4\n[[price]]\nprice = \"-1\"\nper = \"minute\"\n",
       {"relay.toml:9: price.1.price: must be text in quotes",
        "relay.toml:12: price.2.per: must be \"job\" or \"second\"",
        "relay.toml: price.1.action: 'sing' is no kind of job; there are generations",
        "relay.toml: price.1.price: is missing", "relay.toml: price.2.price: must be an amount from 0",
        "relay.toml: upstream.1.price.1.price: must be an amount from 0"}},
      {"prices as one section",
       one_upstream + "[price]\nprice = \"1\"\n",
       {"relay.toml:5: price: each one is a section of its own: [[price]]"}},
      {"groups",
       one_upstream + "[[group]]\nname = \"a\"\nprice_factor = \"-1\"\n[[group]]\nname = \"a\"\n[[group]]\n",
       {"relay.toml: group.1.price_factor: must be a number from 0 to 1000",
        "relay.toml: group.2.name: two groups have this name", "relay.toml: group.3.name: must be 1 to 64"}},
      {"billing",
       one_upstream + "[billing]\nunpriced = \"never\"\ncurrency = \"US dollars\"\n",
       {"relay.toml:6: billing.unpriced: must be \"refuse\" or \"free\"",
        "relay.toml: billing.currency: must be a word"}},
      {"what an upstream takes",
       one_upstream + "actions = [\"video\", \"sing\"]\naliases = [\"x\"]\npriority = -1\nweight = 0\n",
       {"relay.toml:7: upstream.1.priority: must be a whole number from 0 to",
        "relay.toml:8: upstream.1.weight: must be a whole number from 1 to",
        "relay.toml: upstream.1.actions: 'sing' is no kind of job",
        "relay.toml: upstream.1.aliases: 'x' must be NAME=MODEL"}},
      {"a proxy",
       one_upstream + "proxy = \"proxy:3128\"",
       {"relay.toml: upstream.1.proxy: must be an address such as http://proxy.example.com:3128"}},
      {"a proxy with a path",
       one_upstream + "proxy = \"http://u:p@proxy:3128/x\"",
       {"relay.toml: upstream.1.proxy: must end after the port"}},
      {"key with a line break",
       "[[upstream]]\nname=\"a\"\nurl=\"http://x\"\nkey=\"a\\nb\"",
       {"relay.toml: upstream.1.key: the key must be printable"}},
  };
  for (const auto& row : table) {
    const loaded_config c = load(row.text);
    ASSERT_EQ(c.problems.size(), row.problems.size())
        << row.what << ": " << (c.problems.empty() ? "" : to_string(c.problems[0]));
    for (std::size_t i = 0; i < row.problems.size(); ++i) {
      EXPECT_TRUE(to_string(c.problems[i]).starts_with(row.problems[i]))
          << row.what << ": " << to_string(c.problems[i]);
    }
  }
}

TEST(config, models_by_name) {
  const loaded_config c = load(one_upstream + "[models]\naliases = [\"fast=ray-flash-2\", \"a = b=c\"]\n");
  ASSERT_TRUE(c.problems.empty());
  const model_names& names = c.value.upstreams[0].names;
  EXPECT_EQ(names.own("fast"), "ray-flash-2");
  EXPECT_EQ(names.own("a"), "b=c");
  EXPECT_EQ(names.own("ray-v2"), "ray-v2") << "a list that is given takes the place of the usual one";
  EXPECT_EQ(names.default_for("image", "other"), "photon-1");
  EXPECT_EQ(names.default_for("video", "other"), "other");
  EXPECT_EQ(load(one_upstream).value.upstreams[0].names.own("ray-v2"), "ray-2");
}

TEST(config, several_keys) {
  const loaded_config c = load(
      "[[upstream]]\nname=\"a\"\nurl=\"https://a.example\"\nkey=\"k\"\nmax_concurrent=10\npoll_only=false\n"
      "proxy=\"http://me:p%40ss@proxy:3128\"\nmodels=[\"fast\"]\naliases=[\"fast=ray-flash-2\"]\n"
      "[[upstream.keys]]\nname=\"two\"\nkey_env=\"TWO\"\nweight=3\n"
      "[[upstream.keys]]\nname=\"old\"\nkey=\"k3\"\npoll_only=true\nmax_concurrent=4\n"
      "[[upstream]]\nname=\"b\"\nurl=\"https://b.example\"\n[[upstream.keys]]\nname=\"one\"\nkey=\"k4\"\n",
      {{"TWO", "k2"},
       {"LUMA_RELAY_UPSTREAM_1_KEYS_1_WEIGHT", "7"},
       {"LUMA_RELAY_UPSTREAM_2_KEYS_2_NAME", "env"},
       {"LUMA_RELAY_UPSTREAM_2_KEYS_2_KEY", "k5"}});
  ASSERT_TRUE(c.problems.empty()) << to_string(c.problems[0]);
  std::string all;
  for (const upstream_config& u : c.value.upstreams) {
    for (const upstream_config& one : one_for_each_key(u)) {
      all += one.name + " " + one.key.reveal() + " " + std::to_string(one.weight) + " " +
             std::to_string(one.max_concurrent) + (one.poll_only ? " poll_only" : "") + "\n";
    }
  }
  EXPECT_EQ(all, "a k 1 10\na/two k2 7 10\na/old k3 1 4 poll_only\nb/one k4 1 0\nb/env k5 1 0\n");
  EXPECT_EQ(c.value.upstreams[0].through->at.host, "proxy");
  EXPECT_EQ(c.value.upstreams[0].through->credentials.reveal(), "me:p@ss");
  EXPECT_EQ(c.value.upstreams[0].models, std::vector<std::string>{"ray-flash-2"}) << "the model's own name";
  EXPECT_EQ(c.value.upstreams[0].names.own("ray-v2"), "ray-2") << "the relay's aliases are known too";
  const std::string printed = print_config(c.value);
  for (const char* secret : {"k2", "k4", "p%40ss"}) EXPECT_EQ(printed.find(secret), std::string::npos);
  EXPECT_NE(printed.find("[[upstream.keys]]\nname = \"two\""), std::string::npos);
}

TEST(config, prices_and_groups) {
  const loaded_config c =
      load(one_upstream +
               "[[upstream.price]]\nmodel = \"ray-*\"\nprice = \"0.03\"\nper = \"second\"\n"
               "[[price]]\naction = \"image\"\nprice = \"0.015\"\n"
               "[[price]]\nmodel = \"ray-v2\"\nduration = \"5s\"\nprice = \"0.40\"\n"
               "[[group]]\nname = \"friends\"\nprice_factor = \"0.8\"\n",
           {{"LUMA_RELAY_PRICE_2_PRICE", "0.50"},
            {"LUMA_RELAY_PRICE_3_PRICE", "7"},
            {"LUMA_RELAY_UPSTREAM_1_PRICE_2_PRICE", "1"}});
  ASSERT_TRUE(c.problems.empty()) << to_string(c.problems[0]);
  ASSERT_EQ(c.value.prices.size(), 3u);
  EXPECT_EQ(c.value.prices[0].rule.price.millionths, 15'000);
  EXPECT_EQ(c.value.prices[1].rule.model, "ray-2") << "the model's own name";
  EXPECT_EQ(c.value.prices[1].rule.price.millionths, 500'000);
  EXPECT_EQ(c.value.prices[2].rule.model, "*");
  ASSERT_EQ(c.value.upstreams[0].prices.size(), 2u);
  EXPECT_TRUE(c.value.upstreams[0].prices[0].rule.per_second);
  EXPECT_EQ(c.value.groups[0].factor.millionths, 800'000);
  const loaded_config again = load(print_config(c.value));
  EXPECT_EQ(again.value.prices.size(), 3u) << "printed so that it can be read";
  EXPECT_EQ(again.value.upstreams[0].prices.size(), 2u);
  EXPECT_EQ(again.value.groups.size(), 1u);
}

TEST(config, the_environment_is_stronger_than_the_file) {
  const loaded_config c = load(one_upstream + "[server]\nlisten = \"127.0.0.1:1\"\n",
                               {{"LUMA_RELAY_SERVER_LISTEN", "0.0.0.0:2"},
                                {"LUMA_RELAY_SERVER_CORS_ORIGINS", "https://a,https://b"},
                                {"LUMA_RELAY_UPSTREAM_1_KEY", "k2"}});
  ASSERT_TRUE(c.problems.empty());
  EXPECT_EQ(c.value.server.listen, "0.0.0.0:2");
  EXPECT_EQ(c.value.server.cors_origins, (std::vector<std::string>{"https://a", "https://b"}));
  EXPECT_EQ(c.value.upstreams[0].key.reveal(), "k2");
}

TEST(config, the_environment_alone_is_enough) {
  const loaded_config c = load("", {{"LUMA_RELAY_UPSTREAM_1_NAME", "luma"},
                                    {"LUMA_RELAY_UPSTREAM_1_URL", "https://api.lumalabs.ai"},
                                    {"LUMA_RELAY_UPSTREAM_1_KEY_ENV", "LUMAAI_API_KEY"},
                                    {"LUMAAI_API_KEY", "luma-1\n"}});
  ASSERT_TRUE(c.problems.empty()) << to_string(c.problems[0]);
  EXPECT_EQ(c.value.upstreams[0].key.reveal(), "luma-1");
}

TEST(config, problems_of_the_environment_name_the_variable) {
  const loaded_config c = load(one_upstream, {{"LUMA_RELAY_POLL_INTERVAL_MS", "soon"}});
  ASSERT_EQ(c.problems.size(), 1u);
  EXPECT_TRUE(to_string(c.problems[0])
                  .starts_with("environment: LUMA_RELAY_POLL_INTERVAL_MS: must be a whole number"));
}

TEST(config, printed_without_secrets_and_readable_again) {
  loaded_config c = load("[[upstream]]\nname=\"a\"\nurl=\"http://x\"\nkey=\"luma-very-secret\"");
  const std::string text = print_config(c.value);
  EXPECT_EQ(text.find("luma-very-secret"), std::string::npos);
  EXPECT_NE(text.find("key = \"[secret]\""), std::string::npos);
  EXPECT_TRUE(load(text).problems.empty()) << to_string(load(text).problems[0]);
}

TEST(config, the_example_file_is_the_defaults) {
  const std::string text = read(std::string(CONFIG_DIR) + "/luma-relay.example.toml");
  EXPECT_EQ(text, example_config())
      << "regenerate it: luma-relay check-config --example > config/luma-relay.example.toml";
  const loaded_config c = load(text, {{"LUMAAI_API_KEY", "k"}});
  ASSERT_TRUE(c.problems.empty()) << to_string(c.problems[0]);
  config given = c.value;
  config defaults;
  for (const field& f : fields())
    EXPECT_EQ(to_toml(f.at(given)), to_toml(f.at(defaults))) << f.section << "." << f.key;
}

TEST(config, a_list_of_times) {
  const std::string upstream = "\n[[upstream]]\nname='a'\nurl='http://a'\nkey='k'\n";
  const auto none = [](const std::string&) -> std::optional<std::string> { return std::nullopt; };
  EXPECT_EQ(
      load_config("callbacks.retry_after_ms = [1, 20]" + upstream, "f", none).value.callbacks.retry_after,
      (std::vector{milliseconds(1), milliseconds(20)}));
  EXPECT_TRUE(load_config("callbacks.retry_after_ms = []" + upstream, "f", none).problems.empty());
  const auto environment = [](const std::string& name) -> std::optional<std::string> {
    if (name == "LUMA_RELAY_CALLBACKS_RETRY_AFTER_MS") return "5,60";
    return std::nullopt;
  };
  EXPECT_EQ(load_config(upstream, "f", environment).value.callbacks.retry_after,
            (std::vector{milliseconds(5), milliseconds(60)}));
  for (const char* bad : {"[-1]", "['x']", "5", "[1.5]", "[999999999999]"}) {
    const auto c = load_config("callbacks.retry_after_ms = " + std::string(bad) + upstream, "f", none);
    ASSERT_EQ(c.problems.size(), 1u) << bad;
    EXPECT_EQ(c.problems[0].key, "callbacks.retry_after_ms") << bad;
  }
}

TEST(config, the_reference_page_is_the_table) {
  EXPECT_NE(read(std::string(CONFIG_DIR) + "/README.md").find(reference_table()), std::string::npos)
      << "paste the output of: luma-relay check-config --reference";
}

TEST(config, listen_addresses) {
  EXPECT_EQ(parse_listen("[::1]:80")->host, "::1");
  EXPECT_EQ(parse_listen("0.0.0.0:0")->port, 0);
  for (const char* no : {"", ":80", "1.2.3.4", "1.2.3.4:", "1.2.3.4:x", "1.2.3.4:70000", "::1:80"})
    EXPECT_FALSE(parse_listen(no)) << no;
}

}  // namespace
}  // namespace relay
