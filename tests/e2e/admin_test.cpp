// The admin API by HTTP: who may do what, repeated and conditional requests, the audit table, pages, filters.

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <thread>

#include "tests/support/running.hpp"

namespace relay::test {
namespace {

const std::string generations = "/dream-machine/v1/generations";
const std::string absent = "01936e4f-a1b2-7fff-bfff-ffffffffffff";

std::string with(std::string text, const std::string& what, const std::string& by) {
  for (std::size_t at = text.find(what); at != text.npos; at = text.find(what, at + by.size()))
    text.replace(at, what.size(), by);
  return text;
}

// ---- the operations of the contract

enum class may { viewer, operator_, owner, nobody };  // nobody: only the Unix socket

struct operation {
  std::string id, method, path;
  may needs;
  std::string body;
  int status = 200;
};

// What is in braces is made for each request: an account, a token of it, a job of it that waits, an admin
// token, a name that is not taken.
const std::vector<operation>& operations() {
  using enum may;
  static const std::string token = "/tokens/{account}/{token}", account = "/accounts/{account}";
  static const std::vector<operation> all = {
      {"whoAmI", "GET", "/me", viewer, ""},
      {"listAccounts", "GET", "/accounts", viewer, ""},
      {"createAccount", "POST", "/accounts", operator_, R"({"name":"{new}"})", 201},
      {"getAccount", "GET", account, viewer, ""},
      {"changeAccount", "PATCH", account, operator_, R"({"note":"changed","weight":3})"},
      {"enableAccount", "POST", account + "/enable", operator_, ""},
      {"disableAccount", "POST", account + "/disable", operator_, R"({"keep_pending":true})"},
      {"getWebhookSecret", "GET", account + "/webhook-secret", owner, ""},
      {"rotateWebhookSecret", "POST", account + "/webhook-secret/rotate", owner, ""},
      {"topUpAccount", "POST", account + "/topup", operator_, R"({"amount":"25.50","note":"paid"})"},
      {"adjustAccount", "POST", account + "/adjust", owner, R"({"amount":"-0.50"})"},
      {"listTokens", "GET", "/tokens", viewer, ""},
      {"createToken", "POST", "/tokens", operator_, R"({"account":"{account}","name":"{new}"})", 201},
      {"getToken", "GET", token, viewer, ""},
      {"changeToken", "PATCH", token, operator_, R"({"addresses":["127.0.0.0/8"]})"},
      {"revokeToken", "POST", token + "/revoke", operator_, R"({"keep_pending":true})"},
      {"rotateToken", "POST", token + "/rotate", operator_, R"({"grace_s":60})"},
      {"listJobs", "GET", "/jobs", viewer, ""},
      {"getJob", "GET", "/jobs/{job}", viewer, ""},
      {"cancelJob", "POST", "/jobs/{job}/cancel", operator_, ""},
      // None is held here: that the role is enough shows in the reason.
      {"releaseJob", "POST", "/jobs/{job}/release", operator_, "", 409},
      {"cancelJobs", "POST", "/cancellations", operator_, R"({"account":"{account}"})"},
      {"releaseJobs", "POST", "/releases", operator_, ""},
      {"listCallbacks", "GET", "/callbacks", viewer, ""},
      // The same: this one has none.
      {"retryCallback", "POST", "/callbacks/{job}/retry", operator_, "", 409},
      {"listLedger", "GET", "/ledger", viewer, ""},
      {"getUsage", "GET", "/usage", viewer, ""},
      {"listUpstreams", "GET", "/upstreams", viewer, ""},
      {"pauseUpstream", "POST", "/upstreams/sim/pause", operator_, ""},
      {"resumeUpstream", "POST", "/upstreams/sim/resume", operator_, ""},
      {"drainUpstream", "POST", "/upstreams/sim/drain", operator_, ""},
      {"getConfiguration", "GET", "/configuration", viewer, ""},
      {"getHealth", "GET", "/health", viewer, ""},
      {"reload", "POST", "/reload", owner, ""},
      {"backUp", "POST", "/backup", owner, ""},
      {"listAudit", "GET", "/audit", owner, ""},
      {"listAdminTokens", "GET", "/admin-tokens", owner, ""},
      {"createAdminToken", "POST", "/admin-tokens", nobody, R"({"name":"{new}","role":"viewer"})", 201},
      {"revokeAdminToken", "POST", "/admin-tokens/{admin-token}/revoke", owner, ""},
  };
  return all;
}

// "/accounts/{}": what a place in a path is called is not the contract.
std::string without_names(const std::string& path) {
  std::string out;
  bool inside = false;
  for (const char c : path) {
    if (c == '}') inside = false;
    if (!inside) out += c;
    if (c == '{') inside = true;
  }
  return out;
}

struct admin_test : ::testing::Test {
  config settings() { return test_config(dir, sim.url()); }

  // A request that must be carried out, by the Unix socket.
  static json::object done(running_relay& relay, const std::string& method, const std::string& path,
                           const json::object& body = {}) {
    const response r = relay.admin(method, path, body);
    EXPECT_TRUE(r.status == 200 || r.status == 201) << path << ": " << r.status << " " << r.body;
    return r.json().as_object();
  }
  // Speaks with a new admin token.
  static std::string admin_token(running_relay& relay, const std::string& name, const std::string& role,
                                 std::int64_t expires_in_s = 0) {
    json::object body{{"name", json::string(name)}, {"role", json::string(role)}};
    if (expires_in_s > 0) body["expires_in_s"] = expires_in_s;
    return std::string(text_of(done(relay, "POST", "/admin-tokens", body), "token"));
  }
  static client with_admin_token(const running_relay& relay, const std::string& token) {
    return client(relay.admin_port(), "Bearer " + token);
  }
  static client as(running_relay& relay, const std::string& name, const std::string& role) {
    return with_admin_token(relay, admin_token(relay, name, role));
  }
  static response ask(const client& by, const std::string& method, const std::string& path,
                      const std::string& body = {}, const std::vector<std::string>& headers = {}) {
    return by.request(method, "/admin/v1" + path, body, headers);
  }
  static json::array items(const response& r) {
    EXPECT_EQ(r.status, 200) << r.body;
    return r.json().at("items").as_array();
  }
  static std::string create(const client& c, const std::string& body = R"({"prompt":"abc"})",
                            const std::string& path = generations) {
    const response made = c.post(path, body);
    EXPECT_EQ(made.status, 201) << made.body;
    return std::string(text_of(made.json().as_object(), "id"));
  }
  // An error is one of RFC 9457 with this status and a request id by which it is found.
  static std::string problem(const response& r, int status) {
    EXPECT_EQ(r.status, status) << r.body;
    EXPECT_EQ(r.header("content-type"), "application/problem+json");
    if (r.status < 400) return "";
    const json::object o = r.json().as_object();
    EXPECT_EQ(text_of(o, "type"), "about:blank");
    EXPECT_FALSE(text_of(o, "title").empty()) << r.body;
    EXPECT_EQ(o.at("status"), status);
    EXPECT_FALSE(text_of(o, "code").empty()) << r.body;
    EXPECT_EQ(text_of(o, "request_id"), r.header("x-request-id"));
    return std::string(text_of(o, "detail"));
  }

  temp_dir dir;
  running_simulator sim;
};

// ---- who may do what

struct admin_roles : admin_test {
  struct targets {
    std::string account = "nobody", token = "nothing", job = absent, admin_token = "none", made = "none";
  };
  static std::string filled(const std::string& text, const targets& t) {
    return with(with(with(with(with(text, "{account}", t.account), "{token}", t.token), "{job}", t.job),
                     "{admin-token}", t.admin_token),
                "{new}", t.made);
  }
  // What the operation needs to be carried out. The upstream is paused, so that jobs wait.
  targets targets_of(running_relay& relay, const operation& o) {
    const std::string n = std::to_string(++made_), all = o.path + o.body;
    targets out{.made = "new-" + n};
    done(relay, "POST", "/upstreams/sim/pause");
    if (all.contains("{account}") || all.contains("{job}")) {
      out.account = "account-" + n;
      done(relay, "POST", "/accounts", {{"name", json::string(out.account)}});
    }
    if (all.contains("{token}") || all.contains("{job}")) {
      out.token = "token-" + n;
      const json::object token =
          done(relay, "POST", "/tokens",
               {{"account", json::string(out.account)}, {"name", json::string(out.token)}});
      if (all.contains("{job}"))
        out.job = create(client(relay.port(), "Bearer " + std::string(text_of(token, "token"))));
    }
    if (all.contains("{admin-token}")) {
      out.admin_token = "admin-token-" + n;
      admin_token(relay, out.admin_token, "viewer");
    }
    return out;
  }

  int made_ = 0;
};

TEST_F(admin_roles, every_operation_asks_for_its_role_and_no_more) {
  running_relay relay(settings());
  struct caller {
    std::string name;
    client speaks;
    std::optional<may> is;  // none: nobody that is known
  };
  const std::vector<caller> callers = {
      {"no token", client(relay.admin_port()), std::nullopt},
      {"a wrong token", with_admin_token(relay, "luma-relay-admin-guessed"), std::nullopt},
      {"viewer", as(relay, "v", "viewer"), may::viewer},
      {"operator", as(relay, "o", "operator"), may::operator_},
      {"owner", as(relay, "w", "owner"), may::owner}};
  for (const operation& o : operations()) {
    if (o.id == "backUp" && is_memory_store()) continue;  // it has no file
    for (const caller& c : callers) {
      SCOPED_TRACE(o.method + " " + o.path + " by " + c.name);
      if (!c.is || *c.is < o.needs) {
        // Who may not do it is not expected_row either what is there.
        const response refused = ask(c.speaks, o.method, filled(o.path, {}), filled(o.body, {}));
        problem(refused, c.is ? 403 : 401);
        if (!c.is) EXPECT_TRUE(refused.header("www-authenticate").starts_with("Bearer"));
        continue;
      }
      const targets t = targets_of(relay, o);
      const response r = ask(c.speaks, o.method, filled(o.path, t), filled(o.body, t));
      EXPECT_EQ(r.status, o.status) << r.body.substr(0, 500);
    }
    if (o.needs != may::nobody) continue;
    const targets t = targets_of(relay, o);
    const json::object body = parse_lenient(filled(o.body, t)).value().as_object();
    EXPECT_EQ(relay.admin(o.method, filled(o.path, t), body).status, o.status) << o.id;
  }
}

TEST_F(admin_roles, the_table_above_has_every_operation_of_the_document) {
  running_relay relay(settings());
  const response served = client(relay.admin_port()).get("/openapi.json");
  ASSERT_EQ(served.status, 200);
  const json::object document = served.json().as_object();
  EXPECT_TRUE(text_of(document, "openapi").starts_with("3.1.")) << text_of(document, "openapi");
  // The paths may be below the address of the server that the document names.
  std::string base;
  if (const json::value* servers = member(document, "servers"))
    base = text_of(servers->at(0).as_object(), "url");
  if (const auto scheme = base.find("://"); scheme != base.npos)
    base = base.find('/', scheme + 3) == base.npos ? "" : base.substr(base.find('/', scheme + 3));
  std::map<std::string, std::string> described, known;
  for (const auto& [path, item] : document.at("paths").as_object()) {
    std::string whole = with(base + std::string(path), "//", "/");
    if (!whole.starts_with("/admin/v1/")) continue;
    for (const auto& [method, what] : item.as_object()) {
      if (!what.is_object() || !what.as_object().contains("operationId")) continue;
      std::string verb(method);
      std::ranges::transform(verb, verb.begin(), [](unsigned char c) { return std::toupper(c); });
      described[std::string(text_of(what.as_object(), "operationId"))] =
          verb + " " + without_names(whole.substr(std::string("/admin/v1").size()));
    }
  }
  for (const operation& o : operations())
    known[o.id] = o.method + " " + without_names(with(o.path, "/upstreams/sim", "/upstreams/{upstream}"));
  EXPECT_EQ(described, known);
}

TEST_F(admin_roles, what_is_not_there_and_what_is_not_allowed_there) {
  running_relay relay(settings());
  const client owner = as(relay, "w", "owner");
  for (const char* path : {"/nothing", "/accounts/a/b/c"}) problem(ask(owner, "GET", path), 404);
  for (const char* path : {"/accounts/nobody", "/tokens/nobody/t", "/jobs/no-such-job"})
    EXPECT_FALSE(problem(ask(owner, "GET", path), 404).empty()) << path;
  std::map<std::string, std::set<std::string>> methods;
  for (const operation& o : operations()) methods[o.path].insert(o.method);
  for (const auto& [path, allowed] : methods) {
    const response r = ask(owner, "DELETE", filled(path, {}));
    problem(r, 405);
    for (const std::string& method : allowed)
      EXPECT_NE(r.header("allow").find(method), std::string::npos) << path << ": " << r.header("allow");
    EXPECT_EQ(r.header("allow").find("DELETE"), std::string::npos) << path;
  }
}

TEST_F(admin_test, descriptions_need_no_token_on_either_port) {
  running_relay relay(settings());
  for (const std::uint16_t port : {relay.port(), relay.admin_port()}) {
    const response document = client(port).get("/openapi.json"), page = client(port).get("/docs");
    EXPECT_EQ(document.status, 200);
    EXPECT_EQ(document.header("content-type"), "application/json");
    EXPECT_TRUE(text_of(document.json().as_object(), "openapi").starts_with("3.1."));
    EXPECT_EQ(page.status, 200);
    EXPECT_TRUE(page.header("content-type").starts_with("text/html")) << page.header("content-type");
  }
}

TEST_F(admin_test, what_is_asked_wrong_is_refused_by_name) {
  running_relay relay(settings());
  const client owner = as(relay, "w", "owner");
  struct wrong {
    std::string method, path, body, named;
  };
  const std::vector<wrong> all = {
      {"GET", "/accounts?limit=0", "", "limit"},
      {"GET", "/accounts?limit=1001", "", "limit"},
      {"GET", "/accounts?limit=ten", "", "limit"},
      {"GET", "/accounts?limit=1&limit=2", "", "limit"},
      {"GET", "/accounts?cursor=elsewhere", "", "cursor"},
      {"GET", "/accounts?colour=red", "", "colour"},
      {"GET", "/me?colour=red", "", "colour"},
      {"GET", "/jobs?state=dancing", "", "state"},
      {"GET", "/jobs?since=yesterday", "", "since"},
      {"GET", "/usage?format=xml", "", "format"},
      {"POST", "/accounts", "", "name"},
      {"POST", "/accounts", "{}", "name"},
      {"POST", "/accounts", R"({"name":"no spaces"})", "name"},
      {"POST", "/accounts", R"({"name":"a","colour":"red"})", "colour"},
      {"POST", "/accounts", R"({"name":"a","weight":0})", "weight"},
      {"POST", "/accounts", R"({"name":"a","limits":{"opne":1}})", "opne"},
      {"POST", "/accounts", R"({"name":"a","limits":{"open":-1}})", "open"},
      {"POST", "/accounts", R"({"name":"a","actions":["dance"]})", "dance"},
      {"POST", "/accounts", R"({"name":"a","group":"foes"})", "foes"},
      {"POST", "/tokens", R"({"name":"a","addresses":["everywhere"]})", "everywhere"},
      {"POST", "/accounts/studio/topup", R"({"amount":25})", "amount"},
      {"POST", "/accounts/studio/topup", R"({"amount":"1,50"})", "amount"},
      {"POST", "/accounts/studio/enable", R"({"colour":"red"})", "colour"},
      {"POST", "/admin-tokens/w/revoke", R"({"colour":"red"})", "colour"},
      {"PATCH", "/accounts/studio", R"(["note"])", ""},
      {"PATCH", "/accounts/studio", R"({"note":)", ""},
      {"POST", "/cancellations", "{}", ""},
  };
  done(relay, "POST", "/accounts", {{"name", "studio"}});
  for (const wrong& w : all) {
    const std::string detail = problem(ask(owner, w.method, w.path, w.body), 400);
    EXPECT_NE(detail.find(w.named), std::string::npos)
        << w.method << " " << w.path << w.body << ": " << detail;
  }
  EXPECT_EQ(items(ask(owner, "GET", "/accounts")).size(), 1u) << "nothing was made";
  EXPECT_TRUE(items(ask(owner, "GET", "/ledger")).empty());
  EXPECT_EQ(ask(owner, "GET", "/me").status, 200) << "and nothing revoked";
  const std::string taken = problem(ask(owner, "POST", "/accounts", R"({"name":"studio"})"), 409);
  EXPECT_NE(taken.find("studio"), std::string::npos) << taken;
}

// ---- Idempotency-Key

struct admin_keys : admin_test {
  static std::vector<std::string> key(const std::string& k) { return {"Idempotency-Key: " + k}; }
  static std::size_t topups(const client& by, const std::string& account) {
    const json::array rows = items(ask(by, "GET", "/ledger?account=" + account));
    return static_cast<std::size_t>(
        std::ranges::count_if(rows, [](const json::value& r) { return r.at("kind") == "topup"; }));
  }
};

TEST_F(admin_keys, the_same_request_with_the_same_key_is_carried_out_once) {
  running_relay relay(settings());
  const client shop = as(relay, "shop", "operator");
  done(relay, "POST", "/accounts", {{"name", "studio"}});
  const std::string path = "/accounts/studio/topup", body = R"({"amount":"25.50","note":"order 17"})";
  const response first = ask(shop, "POST", path, body, key("order-17"));
  ASSERT_EQ(first.status, 200) << first.body;
  EXPECT_EQ(first.header("idempotent-replayed"), "");
  EXPECT_EQ(text_of(first.json().as_object(), "left"), "25.50");
  for (int i = 0; i < 3; ++i) {
    const response again = ask(shop, "POST", path, body, key("order-17"));
    EXPECT_EQ(again.status, 200);
    EXPECT_EQ(again.body, first.body);
    EXPECT_EQ(again.header("idempotent-replayed"), "true");
  }
  EXPECT_EQ(topups(shop, "studio"), 1u);
  // Another amount, and another operation.
  problem(ask(shop, "POST", path, R"({"amount":"26","note":"order 17"})", key("order-17")), 422);
  problem(ask(shop, "POST", "/accounts/studio/disable", "", key("order-17")), 422);
  EXPECT_EQ(topups(shop, "studio"), 1u);
  EXPECT_EQ(done(relay, "GET", "/accounts/studio").at("enabled"), true);
  // Without a key each is one of its own, and each maker has keys of its own.
  EXPECT_EQ(ask(shop, "POST", path, body).status, 200);
  const response of_another = ask(as(relay, "panel", "operator"), "POST", path, body, key("order-17"));
  EXPECT_EQ(of_another.status, 200);
  EXPECT_EQ(of_another.header("idempotent-replayed"), "");
  EXPECT_EQ(topups(shop, "studio"), 3u);
}

TEST_F(admin_keys, a_repeated_create_makes_no_second_one_and_shows_no_secret) {
  running_relay relay(settings());
  const client shop = as(relay, "shop", "operator");
  const response made = ask(shop, "POST", "/accounts", R"({"name":"studio"})", key("a"));
  const response again = ask(shop, "POST", "/accounts", R"({"name":"studio"})", key("a"));
  EXPECT_EQ(made.status, 201) << made.body;
  EXPECT_EQ(again.status, 201) << "and not that the name is taken";
  EXPECT_EQ(again.body, made.body);
  EXPECT_EQ(again.header("idempotent-replayed"), "true");
  EXPECT_EQ(items(ask(shop, "GET", "/accounts")).size(), 1u);

  const std::string body = R"({"account":"studio","name":"laptop"})";
  const response first = ask(shop, "POST", "/tokens", body, key("t"));
  const response second = ask(shop, "POST", "/tokens", body, key("t"));
  ASSERT_EQ(first.status, 201) << first.body;
  const std::string secret(text_of(first.json().as_object(), "token"));
  EXPECT_TRUE(secret.starts_with("luma-relay-")) << first.body;
  EXPECT_EQ(second.status, 201);
  json::object expected = first.json().as_object();
  expected["token"] = nullptr;
  EXPECT_EQ(second.json().as_object(), expected);
  EXPECT_EQ(items(ask(shop, "GET", "/tokens?account=studio")).size(), 1u);
  EXPECT_EQ(client(relay.port(), "Bearer " + secret).get(generations).status, 200);

  const response rotated = ask(shop, "POST", "/tokens/studio/laptop/rotate", R"({"grace_s":0})", key("r"));
  const response repeated = ask(shop, "POST", "/tokens/studio/laptop/rotate", R"({"grace_s":0})", key("r"));
  const std::string fresh(text_of(rotated.json().as_object(), "token"));
  EXPECT_TRUE(fresh.starts_with("luma-relay-")) << rotated.body;
  EXPECT_TRUE(repeated.json().at("token").is_null()) << repeated.body;
  EXPECT_EQ(client(relay.port(), "Bearer " + fresh).get(generations).status, 200) << "rotated once";

  const client owner = as(relay, "w", "owner");
  const std::string path = "/accounts/studio/webhook-secret";
  const response webhook = ask(owner, "POST", path + "/rotate", "", key("w"));
  EXPECT_TRUE(text_of(webhook.json().as_object(), "secret").starts_with("whsec_")) << webhook.body;
  EXPECT_TRUE(ask(owner, "POST", path + "/rotate", "", key("w")).json().at("secret").is_null());
  EXPECT_EQ(ask(owner, "GET", path).body, webhook.body) << "rotated once";
}

TEST_F(admin_keys, outlive_the_process) {
  const config c = settings();
  const std::string path = "/accounts/studio/topup", body = R"({"amount":"5"})";
  std::string token, first;
  {
    running_relay relay(c);
    token = admin_token(relay, "shop", "operator");
    done(relay, "POST", "/accounts", {{"name", "studio"}});
    first = ask(with_admin_token(relay, token), "POST", path, body, key("order-1")).body;
  }
  running_relay relay(c);
  const client shop = with_admin_token(relay, token);
  const response again = ask(shop, "POST", path, body, key("order-1"));
  EXPECT_EQ(again.status, 200);
  EXPECT_EQ(again.body, first);
  EXPECT_EQ(again.header("idempotent-replayed"), "true");
  problem(ask(shop, "POST", path, R"({"amount":"6"})", key("order-1")), 422);
  EXPECT_EQ(topups(shop, "studio"), 1u);
}

TEST_F(admin_keys, what_was_refused_is_not_remembered) {
  running_relay relay(settings());
  const client shop = as(relay, "shop", "operator");
  const std::string path = "/accounts/studio/topup", body = R"({"amount":"5"})";
  for (int i = 0; i < 2; ++i) {
    const response refused = ask(shop, "POST", path, body, key("order-1"));
    problem(refused, 404);
    EXPECT_EQ(refused.header("idempotent-replayed"), "");
  }
  problem(ask(shop, "POST", path, R"({"amount":"much"})", key("order-1")), 400);
  problem(ask(shop, "POST", "/accounts/studio/adjust", body, key("order-1")), 403);
  done(relay, "POST", "/accounts", {{"name", "studio"}});
  const response carried_out = ask(shop, "POST", path, body, key("order-1"));
  EXPECT_EQ(carried_out.status, 200) << carried_out.body;
  EXPECT_EQ(carried_out.header("idempotent-replayed"), "");
  EXPECT_EQ(topups(shop, "studio"), 1u);
}

TEST_F(admin_keys, that_come_at_once_carry_out_one_request) {
  running_relay relay(settings());
  const client shop = as(relay, "shop", "operator");
  done(relay, "POST", "/accounts", {{"name", "studio"}});
  std::vector<int> statuses(8);
  {
    std::vector<std::jthread> all;
    for (int& status : statuses) {
      all.emplace_back([&status, &shop] {
        status = ask(shop, "POST", "/accounts/studio/topup", R"({"amount":"5"})", key("order-1")).status;
      });
    }
  }
  // One that comes while the first is carried out may be expected_row so.
  for (const int status : statuses) EXPECT_TRUE(status == 200 || status == 409) << status;
  EXPECT_GE(std::ranges::count(statuses, 200), 1);
  EXPECT_EQ(topups(shop, "studio"), 1u);
  EXPECT_EQ(text_of(done(relay, "GET", "/accounts/studio"), "balance"), "5.00");
}

TEST_F(admin_keys, have_1_to_255_visible_characters) {
  running_relay relay(settings());
  const client shop = as(relay, "shop", "operator");
  done(relay, "POST", "/accounts", {{"name", "studio"}});
  const auto asked = [&](const std::string& k) {
    return ask(shop, "POST", "/accounts/studio/topup", R"({"amount":"5"})", key(k));
  };
  EXPECT_EQ(asked(std::string(255, 'k')).status, 200);
  EXPECT_EQ(asked("!~").status, 200);
  for (const std::string& k : {std::string(256, 'k'), std::string("a b")})
    EXPECT_NE(problem(asked(k), 400).find("Idempotency-Key"), std::string::npos) << k;
  EXPECT_EQ(topups(shop, "studio"), 2u);
}

// ---- If-Match

TEST_F(admin_test, a_change_is_made_only_to_what_was_read) {
  running_relay relay(settings());
  const client shop = as(relay, "shop", "operator");
  done(relay, "POST", "/accounts", {{"name", "studio"}});
  done(relay, "POST", "/tokens", {{"account", "studio"}, {"name", "laptop"}});
  struct kind {
    std::string path, first, second, third, member;
  };
  const std::vector<kind> kinds = {
      {"/accounts/studio", R"({"note":"one"})", R"({"note":"two"})", R"({"note":"three"})", "note"},
      {"/tokens/studio/laptop", R"({"addresses":["127.0.0.1"]})", R"({"addresses":["127.0.0.2"]})",
       R"({"addresses":[]})", "addresses"}};
  for (const kind& k : kinds) {
    const auto patch = [&](const std::string& body, const std::string& etag) {
      return ask(shop, "PATCH", k.path, body, {"If-Match: " + etag});
    };
    const auto now = [&] { return ask(shop, "GET", k.path); };
    const auto is = [&](const std::string& body) {
      return now().json().at(k.member) == parse_lenient(body).value().at(k.member);
    };
    const std::string old = now().header("etag");
    EXPECT_TRUE(old.size() > 2 && old.starts_with('"') && old.ends_with('"')) << k.path << ": " << old;
    const response changed = patch(k.first, old);
    EXPECT_EQ(changed.status, 200) << changed.body;
    EXPECT_NE(changed.header("etag"), old);
    EXPECT_EQ(changed.header("etag"), now().header("etag"));
    problem(patch(k.second, old), 412);
    EXPECT_TRUE(is(k.first)) << now().body;
    EXPECT_EQ(patch(k.second, now().header("etag")).status, 200);
    EXPECT_TRUE(is(k.second)) << now().body;
    EXPECT_EQ(patch(k.third, "*").status, 200);
    EXPECT_TRUE(is(k.third)) << now().body;
    EXPECT_EQ(ask(shop, "PATCH", k.path, k.first).status, 200) << "it need not be said";
    problem(patch(k.second, "\"no-such-etag\""), 412);
  }
}

TEST_F(admin_test, posts_look_at_if_match_too) {
  running_relay relay(settings());
  const client shop = as(relay, "shop", "operator");
  done(relay, "POST", "/accounts", {{"name", "studio"}});
  const json::object token = done(relay, "POST", "/tokens", {{"account", "studio"}, {"name", "laptop"}});
  const client customer(relay.port(), "Bearer " + std::string(text_of(token, "token")));
  struct change {
    std::string of, path;
  };
  const std::vector<change> changes = {{"/tokens/studio/laptop", "/tokens/studio/laptop/rotate"},
                                       {"/tokens/studio/laptop", "/tokens/studio/laptop/revoke"},
                                       {"/accounts/studio", "/accounts/studio/disable"}};
  std::map<std::string, std::string> old;
  for (const change& c : changes) old[c.of] = ask(shop, "GET", c.of).header("etag");
  done(relay, "PATCH", "/accounts/studio", {{"note", "changed"}});
  done(relay, "PATCH", "/tokens/studio/laptop", {{"limits", {{"open", 7}}}});
  for (const change& c : changes) {
    problem(ask(shop, "POST", c.path, "", {"If-Match: " + old[c.of]}), 412);
    EXPECT_EQ(customer.get(generations).status, 200) << c.path;
  }
  for (const change& c : changes) {
    const std::string etag = ask(shop, "GET", c.of).header("etag");
    EXPECT_EQ(ask(shop, "POST", c.path, "", {"If-Match: " + etag}).status, 200) << c.path;
  }
  EXPECT_EQ(customer.get(generations).status, 401);
}

// ---- audit

struct admin_audit : admin_test {
  static json::array rows(const client& owner) { return items(ask(owner, "GET", "/audit?limit=1000")); }
  // What is said of a change in its row, as parts of what stands there.
  struct expected_row {
    std::string operation, target, before, after;
  };
  // A change, with the row that it must leave; what it answers.
  json::object change(const client& by, const std::string& method, const std::string& path,
                      const std::string& body, const expected_row& row) {
    const response r = ask(by, method, path, body);
    EXPECT_TRUE(r.status == 200 || r.status == 201) << path << ": " << r.body;
    expected_.emplace_back(r.header("x-request-id"), row);
    const json::object o = r.json().as_object();
    for (const char* member : {"token", "secret"}) {
      if (const std::string text(text_of(o, member)); text.size() > 20) secrets_.insert(text);
    }
    return o;
  }
  // Each change has its row, and no other is there of this maker.
  void expect_rows_of(const std::string& maker, const response& audit) const {
    std::map<std::string, json::object> found;
    for (const json::value& row : items(audit)) {
      if (text_of(row.as_object(), "made_by") == maker)
        found[std::string(text_of(row.as_object(), "request_id"))] = row.as_object();
    }
    EXPECT_EQ(found.size(), expected_.size());
    for (const auto& [request_id, e] : expected_) {
      ASSERT_TRUE(found.contains(request_id)) << e.operation;
      const json::object& row = found[request_id];
      SCOPED_TRACE(json::serialize(row));
      EXPECT_FALSE(text_of(row, "at").empty());
      EXPECT_EQ(text_of(row, "operation"), e.operation);
      EXPECT_TRUE(text_of(row, "target").contains(e.target)) << e.target;
      EXPECT_TRUE(json::serialize(row.at("before")).contains(e.before)) << e.before;
      EXPECT_TRUE(json::serialize(row.at("after")).contains(e.after)) << e.after;
    }
    for (const std::string& secret : secrets_) EXPECT_FALSE(audit.body.contains(secret)) << secret;
  }

  std::vector<std::pair<std::string, expected_row>> expected_;  // by request id
  std::set<std::string> secrets_{"luma-sim-key"};
};

TEST_F(admin_audit, every_change_of_a_customer_leaves_a_row_without_a_secret) {
  running_relay relay(settings());
  const std::string token = admin_token(relay, "shop", "owner");
  secrets_.insert(token);
  const client shop = with_admin_token(relay, token);
  const std::string studio = "/accounts/studio", laptop = "/tokens/studio/laptop";
  change(shop, "POST", "/accounts", R"({"name":"studio","note":"first"})",
         {"createAccount", "studio", "null", "first"});
  change(shop, "PATCH", studio, R"({"note":"second"})", {"changeAccount", "studio", "first", "second"});
  change(shop, "POST", studio + "/topup", R"({"amount":"25.50"})", {"topUpAccount", "studio", "", "25.50"});
  change(shop, "POST", studio + "/adjust", R"({"amount":"-0.25"})", {"adjustAccount", "studio", "", "-0.25"});
  change(shop, "POST", studio + "/webhook-secret/rotate", "", {"rotateWebhookSecret", "studio", "", ""});
  change(shop, "POST", "/tokens", R"({"account":"studio","name":"laptop"})",
         {"createToken", "laptop", "null", "laptop"});
  change(shop, "PATCH", laptop, R"({"limits":{"open":77}})", {"changeToken", "laptop", "", "77"});
  change(shop, "POST", laptop + "/rotate", "", {"rotateToken", "laptop", "", ""});
  change(shop, "POST", laptop + "/revoke", "", {"revokeToken", "laptop", "", ""});
  change(shop, "POST", studio + "/disable", "", {"disableAccount", "studio", "", ""});
  change(shop, "POST", studio + "/enable", "", {"enableAccount", "studio", "", ""});
  EXPECT_EQ(secrets_.size(), 5u) << "the key, and those of the shop, of webhooks, of the token twice";
  expect_rows_of("shop", ask(shop, "GET", "/audit?limit=1000"));
}

TEST_F(admin_audit, every_change_of_jobs_and_of_the_relay_leaves_a_row) {
  running_relay relay(settings());
  const client shop = as(relay, "shop", "owner"), me = relay.as("me");
  change(shop, "POST", "/upstreams/sim/pause", "", {"pauseUpstream", "sim", "", "paused"});
  const std::string waiting = create(me), other = create(me);
  const std::string called = create(me, R"({"prompt":"abc","callback_url":"http://127.0.0.1:1/hook"})");
  change(shop, "POST", "/jobs/" + waiting + "/cancel", "", {"cancelJob", waiting, "pending", "failed"});
  change(shop, "POST", "/jobs/" + called + "/cancel", "", {"cancelJob", called, "pending", "failed"});
  change(shop, "POST", "/callbacks/" + called + "/retry", "", {"retryCallback", called, "", ""});
  const json::object all =
      change(shop, "POST", "/cancellations", R"({"account":"me"})", {"cancelJobs", "", "", ""});
  EXPECT_EQ(all.at("cancelled"), 1);
  change(shop, "POST", "/upstreams/sim/drain", "", {"drainUpstream", "sim", "", "draining"});
  change(shop, "POST", "/upstreams/sim/resume", "", {"resumeUpstream", "sim", "draining", ""});
  change(shop, "POST", "/reload", "", {"reload", "", "", ""});
  expect_rows_of("shop", ask(shop, "GET", "/audit?limit=1000"));
}

TEST_F(admin_audit, admin_tokens_leave_rows_too_and_the_command_line_has_a_name) {
  running_relay relay(settings());
  const std::string token = admin_token(relay, "shop", "owner");
  const client shop = with_admin_token(relay, token);
  const std::string panel = admin_token(relay, "panel", "viewer");
  EXPECT_EQ(ask(shop, "POST", "/admin-tokens/panel/revoke").status, 200);
  const response audit = ask(shop, "GET", "/audit");
  const json::array all = items(audit);
  ASSERT_EQ(all.size(), 3u);
  const auto row = [&all](std::size_t n, const char* member) {
    return std::string(text_of(all[n].as_object(), member));
  };
  EXPECT_EQ(row(0, "operation"), "revokeAdminToken");
  EXPECT_EQ(row(0, "made_by"), "shop");
  EXPECT_EQ(row(1, "operation"), "createAdminToken");
  EXPECT_EQ(row(1, "made_by"), "command line");
  for (const std::size_t n : {0u, 1u}) EXPECT_TRUE(row(n, "target").contains("panel")) << row(n, "target");
  EXPECT_TRUE(json::serialize(all[1].at("after")).contains("viewer"));
  for (const std::string& secret : {token, panel}) EXPECT_FALSE(audit.body.contains(secret));
}

TEST_F(admin_audit, what_changes_nothing_leaves_no_row) {
  running_relay relay(settings());
  const client shop = as(relay, "shop", "owner"), viewer = as(relay, "v", "viewer");
  done(relay, "POST", "/accounts", {{"name", "studio"}});
  const std::vector<std::string> key{"Idempotency-Key: order-1"};
  EXPECT_EQ(ask(shop, "POST", "/accounts/studio/topup", R"({"amount":"5"})", key).status, 200);
  const std::size_t before = rows(shop).size();
  EXPECT_EQ(ask(shop, "POST", "/accounts/studio/topup", R"({"amount":"5"})", key).status, 200) << "repeated";
  problem(ask(shop, "POST", "/accounts", R"({"name":"studio"})"), 409);
  problem(ask(shop, "POST", "/accounts/nobody/topup", R"({"amount":"5"})"), 404);
  problem(ask(shop, "PATCH", "/accounts/studio", R"({"note":"x"})", {"If-Match: \"old\""}), 412);
  problem(ask(viewer, "PATCH", "/accounts/studio", R"({"note":"x"})"), 403);
  problem(ask(shop, "POST", "/admin-tokens", R"({"name":"x","role":"owner"})"), 403);
  for (const char* path : {"/me", "/accounts", "/accounts/studio", "/jobs", "/ledger", "/audit"})
    EXPECT_EQ(ask(shop, "GET", path).status, 200);
  EXPECT_EQ(rows(shop).size(), before);
}

TEST_F(admin_audit, rows_outlive_the_process) {
  const config c = settings();
  std::string token, before;
  {
    running_relay relay(c);
    token = admin_token(relay, "shop", "owner");
    EXPECT_EQ(ask(with_admin_token(relay, token), "POST", "/accounts", R"({"name":"studio"})").status, 201);
    before = json::serialize(rows(with_admin_token(relay, token)));
  }
  running_relay relay(c);
  EXPECT_EQ(json::serialize(rows(with_admin_token(relay, token))), before);
}

// ---- pages

struct admin_pages : admin_test {
  // All of a list, page by page; `between` is done after each of them. The ids, in the order in which they
  // came.
  static std::vector<std::string> walk(const client& by, const std::string& path, std::size_t limit,
                                       const std::function<void()>& between) {
    std::vector<std::string> out;
    std::string cursor;
    for (int pages = 0; pages < 100; ++pages) {
      const response r = ask(by, "GET", path + "limit=" + std::to_string(limit) + cursor);
      const json::array list = items(r);
      EXPECT_LE(list.size(), limit);
      for (const json::value& item : list) {
        const json::value& id = item.at("id");
        out.push_back(id.is_string() ? std::string(view(id.get_string())) : json::serialize(id));
      }
      const json::value next = r.json().at("next");
      if (next.is_null()) return out;
      EXPECT_EQ(list.size(), limit) << "only the last page has fewer";
      cursor = "&cursor=" + std::string(view(next.as_string()));
      between();
    }
    ADD_FAILURE() << path << " does not end";
    return out;
  }
  // Each that was there is seen once, and no other twice.
  static void expect_each_once(const std::vector<std::string>& seen, const std::vector<std::string>& there,
                               const std::string& path) {
    for (const std::string& id : there) EXPECT_EQ(std::ranges::count(seen, id), 1) << path << ": " << id;
    EXPECT_EQ(std::set<std::string>(seen.begin(), seen.end()).size(), seen.size()) << path;
  }
};

TEST_F(admin_pages, show_each_item_once_while_others_are_made) {
  running_relay relay(settings());
  const client owner = as(relay, "w", "owner");
  done(relay, "POST", "/upstreams/sim/pause");
  int made = 0;
  // One of each kind: of accounts, tokens, jobs, rows of the ledger and of the audit table.
  const auto make = [&] {
    const std::string name = "studio-" + std::to_string(++made);
    create(relay.as(name));
    done(relay, "POST", "/accounts/" + name + "/topup", {{"amount", "1"}});
  };
  const auto none = [] {};
  for (int i = 0; i < 7; ++i) make();
  for (const std::string path : {"/accounts?", "/tokens?", "/jobs?", "/ledger?", "/audit?"}) {
    const std::vector<std::string> there = walk(owner, path, 1'000, none);
    EXPECT_GE(there.size(), 7u) << path;
    expect_each_once(there, there, path);
    EXPECT_EQ(walk(owner, path, 3, none), there) << path << ": the pages are the list";
    EXPECT_EQ(walk(owner, path, there.size(), none), there) << path << ": in one page too";
    // Made after the second page: such lists are long by then, and end all the same.
    int between = 0;
    expect_each_once(walk(owner, path, 3,
                          [&] {
                            if (++between <= 2) make();
                          }),
                     there, path);
  }
  // The newest first, where it matters.
  for (const std::string path : {"/ledger?", "/audit?"}) {
    const std::vector<std::string> ids = walk(owner, path, 1'000, none);
    EXPECT_TRUE(std::ranges::is_sorted(ids, std::greater{}, [](const std::string& id) {
      return std::stoll(id);
    })) << path;
  }
  const std::vector<std::string> jobs = walk(owner, "/jobs?", 1'000, none);
  make();
  EXPECT_EQ(walk(owner, "/jobs?", 1'000, none).at(1), jobs.front());
  EXPECT_EQ(items(ask(owner, "GET", "/jobs")).size(), std::min<std::size_t>(50, jobs.size() + 1));
}

// ---- jobs

struct admin_jobs : admin_test {
  static std::set<std::string> found(const client& by, const std::string& query) {
    std::set<std::string> out;
    for (const json::value& job : items(ask(by, "GET", "/jobs?" + query)))
      out.emplace(text_of(job.as_object(), "id"));
    return out;
  }
  using ids = std::set<std::string>;
};

TEST_F(admin_jobs, are_found_by_every_filter_and_by_several_at_once) {
  config c = settings();
  c.callbacks.retry_after = {milliseconds(20)};
  running_relay relay(c);
  const client viewer = as(relay, "v", "viewer");
  const client alice = relay.as("alice"), bob = relay.as("bob");
  const json::object made = done(relay, "POST", "/tokens", {{"account", "alice"}, {"name", "laptop"}});
  const client laptop(relay.port(), "Bearer " + std::string(text_of(made, "token")));
  const std::string one = create(alice), two = create(laptop);
  const std::string image = create(bob, R"({"prompt":"abc"})", generations + "/image");
  const std::string uncalled = create(bob, R"({"prompt":"abc","callback_url":"http://127.0.0.1:1/hook"})");
  for (const std::string& id : {one, two}) wait_for_state(alice, generations + "/" + id, "completed");
  for (const std::string& id : {image, uncalled}) wait_for_state(bob, generations + "/" + id, "completed");
  done(relay, "POST", "/upstreams/sim/pause");
  const std::string waiting = create(alice), cancelled = create(bob);
  done(relay, "POST", "/jobs/" + cancelled + "/cancel");
  EXPECT_TRUE(relay.wait_until([&] { return !found(viewer, "state=undelivered").empty(); }));

  const ids all{one, two, image, uncalled, waiting, cancelled};
  EXPECT_EQ(found(viewer, ""), all);
  EXPECT_EQ(found(viewer, "state=completed"), (ids{one, two, image, uncalled}));
  EXPECT_EQ(found(viewer, "state=pending"), ids{waiting});
  EXPECT_EQ(found(viewer, "state=failed"), ids{cancelled});
  EXPECT_EQ(found(viewer, "state=undelivered"), ids{uncalled});
  for (const char* state : {"submitting", "ambiguous", "held", "queued", "running"})
    EXPECT_EQ(found(viewer, std::string("state=") + state), ids{}) << state;
  EXPECT_EQ(found(viewer, "account=alice"), (ids{one, two, waiting}));
  EXPECT_EQ(found(viewer, "account=alice&token=laptop"), ids{two});
  EXPECT_EQ(found(viewer, "token=alice/laptop"), ids{two});
  EXPECT_EQ(found(viewer, "upstream=sim"), (ids{one, two, image, uncalled}));
  EXPECT_EQ(found(viewer, "action=image"), ids{image});
  EXPECT_EQ(found(viewer, "action=generations&account=bob"), (ids{uncalled, cancelled}));
  EXPECT_EQ(found(viewer, "account=alice&state=completed&limit=1000"), (ids{one, two}));
  EXPECT_EQ(found(viewer, "text=" + one), ids{one});
  EXPECT_EQ(found(viewer, "text=" + one + "&account=bob"), ids{});
  problem(ask(viewer, "GET", "/jobs?account=nobody"), 404);

  std::map<std::string, std::string> created_at;
  for (const json::value& job : items(ask(viewer, "GET", "/jobs"))) {
    const json::object& o = job.as_object();
    created_at[std::string(text_of(o, "id"))] = text_of(o, "created_at");
    EXPECT_FALSE(text_of(o, "why").empty()) << o;
    if (text_of(o, "id") == two) EXPECT_EQ(text_of(o, "token"), "laptop");
    if (text_of(o, "id") == one)
      EXPECT_EQ(found(viewer, "text=" + std::string(text_of(o, "upstream_id"))), ids{one});
  }
  // Times of one form are in the order of their texts.
  for (const auto& [id, at] : created_at) {
    ids since, until;
    for (const auto& [other, time] : created_at) (time >= at ? since : until).insert(other);
    EXPECT_EQ(found(viewer, "since=" + at), since);
    EXPECT_EQ(found(viewer, "until=" + at), until);
    EXPECT_EQ(found(viewer, "since=" + at + "&until=" + at), ids{});
  }
  EXPECT_EQ(found(viewer, "since=2020-01-01&until=2100-01-01T00:00:00Z"), all);
  EXPECT_EQ(found(viewer, "until=2020-01-01"), ids{});
  EXPECT_EQ(found(viewer, "since=2100-01-01"), ids{});

  const json::array callbacks = items(ask(viewer, "GET", "/callbacks?account=bob"));
  ASSERT_EQ(callbacks.size(), 1u);
  EXPECT_EQ(text_of(callbacks[0].as_object(), "job"), uncalled);
  EXPECT_EQ(callbacks[0].at("state"), "completed");
  EXPECT_FALSE(text_of(callbacks[0].as_object(), "last_problem").empty());
  EXPECT_TRUE(items(ask(viewer, "GET", "/callbacks?account=alice")).empty());
}

TEST_F(admin_jobs, are_shown_with_their_story_by_any_of_their_names) {
  running_relay relay(settings());
  const client viewer = as(relay, "v", "viewer"), me = relay.as("me");
  const std::string id = create(me, R"({"prompt":"a tiger"})");
  wait_for_state(me, generations + "/" + id, "completed");
  const json::object job = ask(viewer, "GET", "/jobs/" + id).json().as_object();
  EXPECT_EQ(text_of(job, "id"), id);
  EXPECT_EQ(text_of(job, "state"), "completed");
  EXPECT_EQ(text_of(job.at("request").as_object(), "prompt"), "a tiger");
  ASSERT_FALSE(job.at("story").as_array().empty());
  std::string last;
  for (const json::value& line : job.at("story").as_array()) {
    const std::string at(text_of(line.as_object(), "at"));
    EXPECT_LE(last, at) << "in order";
    EXPECT_FALSE(text_of(line.as_object(), "text").empty());
    last = at;
  }
  const std::string upstream_id(text_of(job, "upstream_id"));
  for (const std::string& name : {id.substr(0, 13), upstream_id}) {
    EXPECT_EQ(text_of(ask(viewer, "GET", "/jobs/" + name).json().as_object(), "id"), id) << name;
  }
  problem(ask(viewer, "GET", "/jobs/" + absent), 404);
}

// ---- admin tokens

struct admin_tokens_test : admin_test {};

TEST_F(admin_tokens_test, work_until_they_are_revoked) {
  const config c = settings();
  std::string first, second;
  {
    running_relay relay(c);
    first = admin_token(relay, "first", "owner");
    second = admin_token(relay, "second", "viewer");
    EXPECT_TRUE(first.starts_with("luma-relay-admin-")) << first;
    const client one = with_admin_token(relay, first), two = with_admin_token(relay, second);
    const json::object me = ask(two, "GET", "/me").json().as_object();
    EXPECT_EQ(me, (json::object{{"name", "second"}, {"role", "viewer"}}));
    const json::object taken{{"name", "second"}, {"role", "owner"}};
    EXPECT_EQ(relay.admin("POST", "/admin-tokens", taken).status, 409);
    EXPECT_EQ(ask(one, "POST", "/admin-tokens/second/revoke").status, 200);
    problem(ask(two, "GET", "/me"), 401);
    problem(ask(one, "POST", "/admin-tokens/second/revoke"), 404);
    problem(ask(one, "POST", "/admin-tokens/third/revoke"), 404);
    // The name is free again, and means another.
    EXPECT_EQ(ask(as(relay, "second", "operator"), "GET", "/me").json().at("role"), "operator");
    problem(ask(two, "GET", "/me"), 401);
    const response list = ask(one, "GET", "/admin-tokens");
    ASSERT_EQ(items(list).size(), 3u);
    for (const json::value& t : items(list)) {
      const json::object& o = t.as_object();
      EXPECT_FALSE(o.contains("token")) << o;
      EXPECT_EQ(o.at("revoked_at").is_null(), !second.ends_with(std::string(text_of(o, "hint")))) << o;
    }
    for (const std::string& secret : {first, second}) EXPECT_FALSE(list.body.contains(secret));
  }
  running_relay relay(c);  // also after a restart
  EXPECT_EQ(ask(with_admin_token(relay, first), "GET", "/me").status, 200);
  problem(ask(with_admin_token(relay, second), "GET", "/me"), 401);
}

TEST_F(admin_tokens_test, expire_by_themselves) {
  running_relay relay(settings());
  const client brief = with_admin_token(relay, admin_token(relay, "brief", "owner", 1));
  const client longer = with_admin_token(relay, admin_token(relay, "longer", "owner", 3'600));
  // Asked until its second is over.
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  response r = ask(brief, "GET", "/me");
  while (r.status == 200 && std::chrono::steady_clock::now() < give_up) r = ask(brief, "GET", "/me");
  problem(r, 401);
  EXPECT_EQ(ask(longer, "GET", "/me").status, 200);
  for (const json::value& t : items(ask(longer, "GET", "/admin-tokens")))
    EXPECT_FALSE(t.at("expires_at").is_null()) << t;
}

TEST_F(admin_tokens_test, and_tokens_of_clients_are_not_taken_for_each_other) {
  running_relay relay(settings());
  const std::string operators = admin_token(relay, "w", "owner"), clients = relay.token("me");
  problem(ask(with_admin_token(relay, clients), "GET", "/me"), 401);
  EXPECT_EQ(client(relay.port(), "Bearer " + operators).get(generations).status, 401);
  EXPECT_EQ(client(relay.port(), "Bearer " + operators).post(generations, R"({"prompt":"abc"})").status, 401);
  EXPECT_EQ(sim.created(), 0);
  // Neither is one accepted in the query, nor with what stands before it left out.
  const client nobody(relay.admin_port());
  problem(ask(nobody, "GET", "/me?token=" + operators), 401);
  problem(ask(client(relay.admin_port(), operators.substr(17)), "GET", "/me"), 401);
  problem(ask(client(relay.admin_port(), "Basic " + operators), "GET", "/me"), 401);
}

TEST_F(admin_tokens_test, are_not_needed_by_the_owner_of_the_socket) {
  running_relay relay(settings());
  EXPECT_EQ(done(relay, "GET", "/me"), (json::object{{"name", "command line"}, {"role", "owner"}}));
}

// ---- the relay itself

TEST_F(admin_test, a_backup_is_a_whole_database) {
  if (is_memory_store()) GTEST_SKIP() << "it has no file";
  running_relay relay(settings());
  const client owner = as(relay, "w", "owner");
  const std::string id = create(relay.as("me"));
  const response copy = ask(owner, "POST", "/backup");
  ASSERT_EQ(copy.status, 200) << copy.body.substr(0, 500);
  EXPECT_EQ(copy.header("content-type"), "application/vnd.sqlite3");
  ASSERT_GT(copy.body.size(), 100u);
  EXPECT_EQ(copy.body.substr(0, 16), std::string("SQLite format 3\0", 16));
  // Its head says how many pages it has, and how large they are.
  const auto number = [&](std::size_t at, std::size_t bytes) {
    std::size_t out = 0;
    for (std::size_t i = 0; i < bytes; ++i) out = out << 8 | static_cast<unsigned char>(copy.body[at + i]);
    return out;
  };
  const std::size_t page = number(16, 2) == 1 ? 65'536 : number(16, 2);
  EXPECT_EQ(copy.body.size(), page * number(28, 4));
  EXPECT_EQ(copy.header("content-length"), std::to_string(copy.body.size()));
  EXPECT_TRUE(copy.body.contains(id)) << "the job is in it";
  int files = 0;
  for (const auto& f : std::filesystem::directory_iterator(std::filesystem::path(dir.file("")))) {
    if (f.path().filename().string().contains("download")) ++files;
  }
  EXPECT_EQ(files, 0) << "nothing is left beside the database";
}

TEST_F(admin_test, the_configuration_is_shown_without_its_secrets) {
  config c = settings();
  c.alerts.sign_with = secret("a-secret-of-alerts");
  running_relay relay(c);
  const client viewer = as(relay, "v", "viewer");
  const response r = ask(viewer, "GET", "/configuration");
  ASSERT_EQ(r.status, 200);
  const std::string toml(text_of(r.json().as_object(), "toml"));
  EXPECT_TRUE(toml.contains("[[upstream]]")) << toml;
  EXPECT_TRUE(toml.contains(sim.url())) << toml;
  for (const char* text : {"luma-sim-key", "a-secret-of-alerts"}) EXPECT_FALSE(r.body.contains(text)) << toml;
}

TEST_F(admin_test, health_says_what_each_part_is_like) {
  running_relay relay(settings());
  const json::object health = ask(as(relay, "v", "viewer"), "GET", "/health").json().as_object();
  EXPECT_EQ(text_of(health, "status"), "ready");
  EXPECT_EQ(health.at("takes_jobs"), true);
  EXPECT_FALSE(health.at("parts").as_object().empty());
  for (const auto& [name, part] : health.at("parts").as_object()) EXPECT_EQ(part.at("ok"), true) << name;
}

}  // namespace
}  // namespace relay::test
