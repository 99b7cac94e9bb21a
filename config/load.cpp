#include "config/load.hpp"

#include <toml++/toml.h>
#include <algorithm>
#include <charconv>
#include <fstream>
#include <iterator>
#include <set>

#include "common/base/addresses.hpp"
#include "common/base/ascii.hpp"
#include "common/engine/submit_queues.hpp"
#include "common/families.hpp"
#include "config/fields.hpp"

namespace relay {
namespace {

// Puts one value, from a file or from the environment, into its place. Returns what is wrong, or "".
template <class Owner>
struct setter {
  const basic_field<Owner>& f;
  const toml::node* node;   // from the file
  const std::string* text;  // from the environment

  std::string operator()(std::string* to) const {
    // From the environment any text is text; in the file it must be in quotes.
    std::string value;
    if (text != nullptr) {
      value = *text;
    } else if (const auto* s = node->as_string()) {
      value = s->get();
    } else {
      return "must be text in quotes";
    }
    // A key with choices takes no other value, and the message names them all.
    if (!f.choices.empty() && std::ranges::find(f.choices, value) == f.choices.end()) {
      std::string message = "must be ";
      for (std::size_t i = 0; i < f.choices.size(); ++i) {
        if (i > 0) message += i + 1 == f.choices.size() ? " or " : ", ";
        message += "\"" + std::string(f.choices[i]) + "\"";
      }
      return message;
    }
    *to = std::move(value);
    return {};
  }
  std::string operator()(secret* to) const {
    if (text != nullptr) {
      *to = secret(*text);
    } else if (const auto* s = node->as_string()) {
      *to = secret(s->get());
    } else {
      return "must be text in quotes";
    }
    return {};
  }
  std::string operator()(std::int64_t* to) const {
    std::int64_t value = 0;
    if (text != nullptr) {
      const auto [end, ec] = std::from_chars(text->data(), text->data() + text->size(), value);
      if (ec != std::errc{} || end != text->data() + text->size()) return range();
    } else if (const auto* i = node->as_integer()) {
      value = i->get();
    } else {
      return range();
    }
    if (value < f.min || value > f.max) return range();
    *to = value;
    return {};
  }
  std::string operator()(milliseconds* to) const {
    std::int64_t value = 0;
    std::string wrong = (*this)(&value);
    if (wrong.empty()) *to = milliseconds(value);
    return wrong.empty() ? wrong : wrong + " (milliseconds)";
  }
  std::string operator()(bool* to) const {
    if (text != nullptr) {
      if (*text != "true" && *text != "false") return "must be true or false";
      *to = *text == "true";
    } else if (const auto* b = node->as_boolean()) {
      *to = b->get();
    } else {
      return "must be true or false";
    }
    return {};
  }
  std::string operator()(std::vector<std::string>* to) const {
    std::vector<std::string> values;
    if (text != nullptr) {  // separated by commas
      std::string_view rest = *text;
      while (!rest.empty()) {
        const auto comma = rest.find(',');
        const std::string_view part = rest.substr(0, comma);
        if (!part.empty()) values.emplace_back(part);
        rest = comma == std::string_view::npos ? std::string_view{} : rest.substr(comma + 1);
      }
    } else if (const auto* list = node->as_array()) {
      for (const toml::node& item : *list) {
        const auto* s = item.as_string();
        if (s == nullptr) return "must be a list of text in quotes";
        values.push_back(s->get());
      }
    } else {
      return "must be a list of text in quotes";
    }
    *to = std::move(values);
    return {};
  }

  std::string operator()(std::vector<milliseconds>* to) const {
    const std::string wrong = "must be a list of up to 30 whole numbers from " + std::to_string(f.min) +
                              " to " + std::to_string(f.max) + " (milliseconds)";
    std::vector<milliseconds> values;
    const auto add = [&](std::int64_t v) {
      values.emplace_back(v);
      return v >= f.min && v <= f.max && values.size() <= 30;
    };
    if (text != nullptr) {  // separated by commas
      const char* at = text->data();
      const char* const end = at + text->size();
      while (at != end) {
        std::int64_t v = 0;
        const auto [next, ec] = std::from_chars(at, end, v);
        if (ec != std::errc{} || !add(v) || (next != end && *next != ',')) return wrong;
        at = next == end ? end : next + 1;
      }
    } else if (const auto* list = node->as_array()) {
      for (const toml::node& item : *list) {
        const auto* v = item.as_integer();
        if (v == nullptr || !add(v->get())) return wrong;
      }
    } else {
      return wrong;
    }
    *to = std::move(values);
    return {};
  }

  std::string range() const {
    return "must be a whole number from " + std::to_string(f.min) + " to " + std::to_string(f.max);
  }
};

// Keys of earlier releases.
struct renamed_key {
  std::string_view section, key, now;
};
constexpr renamed_key renamed_keys[] = {
    {"storage", "queue_limit", "queue_bytes, in bytes"},
    {"storage", "cache_tasks", "cache_bytes, in bytes"},
    {"limits", "pending_per_token", "pending_per_account"},
    {"limits", "open_per_token", "open_per_account"},
    {"limits", "creates_per_minute_per_token", "creates_per_minute_per_account"},
    {"assets", "max_bytes_per_token", "max_bytes_per_account"}};

class loader {
 public:
  loader(std::string_view file, const env_lookup& env) : file_(file), env_(env) {}

  void read_file(std::string_view text);
  void read_environment();
  void check();

  loaded_config out;

 private:
  void problem(const toml::source_region* at, std::string key, std::string message) {
    std::string where = file_;
    if (at != nullptr && at->begin.line > 0) where += ":" + std::to_string(at->begin.line);
    out.problems.push_back({std::move(where), std::move(key), std::move(message)});
  }

  template <class Owner>
  void read_section(const toml::table& section, std::string_view name, std::string_view prefix,
                    std::span<const basic_field<Owner>> table, Owner& into);
  template <class Owner>
  std::vector<const toml::table*> read_list(const toml::node& node, std::string_view name,
                                            const std::string& prefix,
                                            std::span<const basic_field<Owner>> table,
                                            std::vector<Owner>& into);
  void read_upstreams(const toml::node& node);
  template <class Owner>
  void read_list_of_environment(std::vector<Owner>& list, std::span<const basic_field<Owner>> table,
                                std::size_t outer, auto apply);
  void check_listen(const std::string& text, const std::string& key);
  void check_upstream(upstream_config& u, std::size_t number);
  void check_address(upstream_config& u, const std::string& prefix);
  void check_key(secret& key, const std::string& env, const std::string& file, const std::string& prefix);
  void check_keys(upstream_config& u, const std::string& prefix);
  void check_names(upstream_config& u, const std::string& prefix);
  void check_prices(std::vector<price_config>& prices, const std::string& prefix);
  void check_billing();
  std::vector<std::pair<std::string, std::string>> pairs(const std::vector<std::string>& list,
                                                         const std::string& key);
  void check_models();

  std::string file_;
  const env_lookup& env_;
};

template <class Owner>
std::string no_such_key(std::string_view section, std::string_view key,
                        std::span<const basic_field<Owner>> table) {
  const auto renamed = std::ranges::find_if(
      renamed_keys, [&](const renamed_key& r) { return r.section == section && r.key == key; });
  if (renamed != std::end(renamed_keys)) return "is now " + std::string(renamed->now);
  std::string allowed;
  for (const basic_field<Owner>& f : table) {
    if (f.section == section) allowed += (allowed.empty() ? "" : ", ") + std::string(f.key);
  }
  return "no such key; [" + std::string(section) + "] has " + allowed;
}

template <class Owner>
void loader::read_section(const toml::table& section, std::string_view name, std::string_view prefix,
                          std::span<const basic_field<Owner>> table, Owner& into) {
  // Every key of the section, known or not: one run shows all problems.
  for (const auto& [key, node] : section) {
    if (name == "upstream" && (key.str() == "keys" || key.str() == "price"))
      continue;  // sections of their own
    const std::string full = std::string(prefix) + "." + std::string(key.str());
    const auto found = std::ranges::find_if(
        table, [&](const basic_field<Owner>& f) { return f.section == name && f.key == key.str(); });
    if (found == table.end()) {
      problem(&node.source(), full, no_such_key(name, key.str(), table));
      continue;
    }
    // The type of the field decides what is accepted.
    const std::string wrong = std::visit(setter<Owner>{*found, &node, nullptr}, found->at(into));
    if (!wrong.empty()) problem(&node.source(), full, wrong);
  }
}

// A section that may come several times: [[name]]. Returns the tables that were read, in the order of `into`.
template <class Owner>
std::vector<const toml::table*> loader::read_list(const toml::node& node, std::string_view name,
                                                  const std::string& prefix,
                                                  std::span<const basic_field<Owner>> table,
                                                  std::vector<Owner>& into) {
  std::vector<const toml::table*> tables;
  const toml::array* list = node.as_array();
  if (list == nullptr || !std::ranges::all_of(*list, [](const toml::node& n) { return n.is_table(); })) {
    problem(&node.source(), prefix, "each one is a section of its own: [[" + std::string(name) + "]]");
    return tables;
  }
  for (const toml::node& item : *list) {
    tables.push_back(item.as_table());
    Owner& one = into.emplace_back();
    read_section<Owner>(*tables.back(), name, prefix + "." + std::to_string(into.size()), table, one);
  }
  return tables;
}

void loader::read_upstreams(const toml::node& node) {
  auto& all = out.value.upstreams;
  const auto tables = read_list<upstream_config>(node, "upstream", "upstream", upstream_fields(), all);
  for (std::size_t i = 0; i < tables.size(); ++i) {
    const std::string prefix = "upstream." + std::to_string(i + 1);
    if (const toml::node* keys = tables[i]->get("keys"))
      read_list<upstream_key_config>(*keys, "upstream.keys", prefix + ".keys", key_fields(), all[i].keys);
    if (const toml::node* prices = tables[i]->get("price"))
      read_list<price_config>(*prices, "upstream.price", prefix + ".price", upstream_price_fields(),
                              all[i].prices);
  }
}

void loader::read_file(std::string_view text) {
  // 1. As TOML. After a syntax error nothing else can be checked.
  toml::table root;
  try {
    root = toml::parse(text, file_);
  } catch (const toml::parse_error& e) {
    problem(&e.source(), "", "not valid TOML: " + std::string(e.description()));
    return;
  }
  // 2. Section by section, each against the table of keys.
  std::set<std::string_view> sections;
  for (const field& f : fields()) sections.insert(f.section);
  for (const auto& [key, node] : root) {
    const std::string name(key.str());
    if (name == "upstream") {
      read_upstreams(node);
    } else if (name == "price") {
      read_list<price_config>(node, name, name, price_fields(), out.value.prices);
    } else if (name == "group") {
      read_list<group_config>(node, name, name, group_fields(), out.value.groups);
    } else if (sections.contains(name)) {
      if (const toml::table* section = node.as_table()) {
        read_section<config>(*section, name, name, fields(), out.value);
      } else {
        problem(&node.source(), name, "is a section: [" + name + "]");
      }
    } else {
      std::string allowed;
      for (const std::string_view s : sections) allowed += "[" + std::string(s) + "], ";
      problem(&node.source(), name,
              "no such section; there are " + allowed + "[[upstream]], [[price]], [[group]]");
    }
  }
}

void loader::read_environment() {
  // 1. Keys of earlier releases are refused by name: an old limit must not be lost in silence.
  for (const renamed_key& r : renamed_keys) {
    const std::string name = env_name(r.section, r.key);
    if (env_(name)) out.problems.push_back({"environment", name, "is now " + std::string(r.now)});
  }
  const auto apply = [&](const auto& f, auto& into, std::size_t number, std::size_t within = 0) {
    const std::string name = env_name(f.section, f.key, number, within);
    const auto value = env_(name);
    if (!value) return;
    using owner = std::remove_reference_t<decltype(into)>;
    const std::string wrong = std::visit(setter<owner>{f, nullptr, &*value}, f.at(into));
    if (!wrong.empty()) out.problems.push_back({"environment", name, wrong});
  };
  // 2. What is there once.
  for (const field& f : fields()) apply(f, out.value, 0);
  // 3. Lists.
  auto& upstreams = out.value.upstreams;
  read_list_of_environment<upstream_config>(upstreams, upstream_fields(), 0, apply);
  for (std::size_t i = 0; i < upstreams.size(); ++i) {
    read_list_of_environment<upstream_key_config>(upstreams[i].keys, key_fields(), i + 1, apply);
    read_list_of_environment<price_config>(upstreams[i].prices, upstream_price_fields(), i + 1, apply);
  }
  read_list_of_environment<price_config>(out.value.prices, price_fields(), 0, apply);
  read_list_of_environment<group_config>(out.value.groups, group_fields(), 0, apply);
}

// Counted from 1: those of the file, then any further ones, until a number has no variable. `outer`: the
// number of the one that has the list; 0: it is in none.
template <class Owner>
void loader::read_list_of_environment(std::vector<Owner>& list, std::span<const basic_field<Owner>> table,
                                      std::size_t outer, auto apply) {
  for (std::size_t number = 1;; ++number) {
    const std::size_t first = outer != 0 ? outer : number;
    const std::size_t second = outer != 0 ? number : 0;
    if (number > list.size()) {
      const bool any = std::ranges::any_of(table, [&](const basic_field<Owner>& f) {
        return env_(env_name(f.section, f.key, first, second)).has_value();
      });
      if (!any) break;
      list.emplace_back();
    }
    for (const basic_field<Owner>& f : table) apply(f, list[number - 1], first, second);
  }
}

void loader::check_listen(const std::string& text, const std::string& key) {
  if (const auto parsed = parse_listen(text); !parsed) problem(nullptr, key, parsed.error().message.text);
}

std::string strip(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == ' ')) text.pop_back();
  return text;
}

void loader::check_upstream(upstream_config& u, std::size_t number) {
  const std::string prefix = "upstream." + std::to_string(number) + ".";
  if (!valid_upstream_name(u.name)) {
    problem(nullptr, prefix + "name", "must be 1 to 64 letters, digits, '-', '_' or '.'");
  }
  check_address(u, prefix);
  check_keys(u, prefix);
  check_names(u, prefix);
  check_prices(u.prices, prefix + "price.");
}

void loader::check_address(upstream_config& u, const std::string& prefix) {
  if (auto base = parse_base_url(u.url)) {
    // With or without the protocol's own prefix, or the official one: it is added back where it is needed.
    const protocol* speaks = families().find_protocol(u.protocol);
    for (const std::string_view own : {speaks != nullptr ? speaks->base_path : "", official_path}) {
      if (base->path.ends_with(own)) base->path.resize(base->path.size() - own.size());
    }
    u.base = std::move(*base);
  } else {
    problem(nullptr, prefix + "url",
            u.url.empty() ? "is missing; the official one is " + std::string(official_url)
                          : base.error().message.text);
  }
  if (u.proxy.empty()) return;
  if (auto proxy = parse_proxy_address(u.proxy.reveal()))
    u.through = std::move(*proxy);
  else
    problem(nullptr, prefix + "proxy", proxy.error().message.text);
}

// Exactly one of the three says what it is.
void loader::check_key(secret& key, const std::string& env, const std::string& file,
                       const std::string& prefix) {
  const int sources = !key.empty() + !env.empty() + !file.empty();
  if (sources != 1) {
    problem(nullptr, prefix + "key", "give exactly one of key, key_env and key_file");
  } else if (!env.empty()) {
    if (const auto value = env_(env); value && !value->empty())
      key = secret(strip(*value));
    else
      problem(nullptr, prefix + "key_env", "the environment variable " + env + " is not set");
  } else if (!file.empty()) {
    std::ifstream in(file);
    const std::string content{std::istreambuf_iterator<char>(in), {}};
    if (!in || strip(content).empty())
      problem(nullptr, prefix + "key_file", "cannot read a key from " + file);
    else
      key = secret(strip(content));
  }
  if (std::ranges::any_of(key.reveal(), [](char c) { return c < 0x21 || c > 0x7e; })) {
    problem(nullptr, prefix + "key", "the key must be printable ASCII without spaces");
  }
}

void loader::check_keys(upstream_config& u, const std::string& prefix) {
  const bool has_one = !u.key.empty() || !u.key_env.empty() || !u.key_file.empty();
  if (has_one || u.keys.empty()) check_key(u.key, u.key_env, u.key_file, prefix);
  std::set<std::string> names;
  std::size_t number = 0;
  for (upstream_key_config& k : u.keys) {
    const std::string at = prefix + "keys." + std::to_string(++number) + ".";
    if (!valid_upstream_name(k.name))
      problem(nullptr, at + "name", "must be 1 to 64 letters, digits, '-', '_' or '.'");
    else if (!names.insert(k.name).second)
      problem(nullptr, at + "name", "two keys of this upstream have this name");
    check_key(k.key, k.key_env, k.key_file, at);
  }
}

void loader::check_names(upstream_config& u, const std::string& prefix) {
  for (const std::string& kind : u.actions) {
    if (!families().has_action(kind))
      problem(nullptr, prefix + "actions", "'" + kind + "' is no kind of job");
  }
  auto own = pairs(u.aliases, prefix + "aliases");
  u.names.aliases.insert(u.names.aliases.begin(), own.begin(), own.end());
  // A list of models may use any of their names.
  for (std::string& model : u.models) model = std::string(u.names.own(model));
}

void loader::check_prices(std::vector<price_config>& prices, const std::string& prefix) {
  for (std::size_t i = 0; i < prices.size(); ++i) {
    price_config& p = prices[i];
    const std::string at = prefix + std::to_string(i + 1) + ".";
    if (!p.rule.action.contains('*') && !families().has_action(p.rule.action))
      problem(nullptr, at + "action",
              "'" + p.rule.action + "' is no kind of job; there are " + families().action_names());
    const auto amount = parse_money(p.price);
    if (!amount || *amount < money{})
      problem(nullptr, at + "price",
              p.price.empty() ? "is missing" : "must be an amount from 0, as text, such as \"0.40\"");
    p.rule.model = std::string(out.value.models.names.own(p.rule.model));
    p.rule.duration = duration_word(p.rule.duration);
    p.rule.price = amount.value_or(money{});
    p.rule.per_second = p.per == "second";
  }
}

void loader::check_billing() {
  constexpr std::size_t longest_currency = 16;
  const std::string& currency = out.value.billing.currency;
  if (currency.size() > longest_currency || !is_word(currency, "-_."))
    problem(nullptr, "billing.currency", "must be a word of up to 16 letters or digits, such as \"USD\"");
  check_prices(out.value.prices, "price.");
  std::set<std::string> names;
  for (std::size_t i = 0; i < out.value.groups.size(); ++i) {
    group_config& g = out.value.groups[i];
    const std::string at = "group." + std::to_string(i + 1) + ".";
    if (!valid_upstream_name(g.name))
      problem(nullptr, at + "name", "must be 1 to 64 letters, digits, '-', '_' or '.'");
    else if (!names.insert(g.name).second)
      problem(nullptr, at + "name", "two groups have this name");
    const auto factor = parse_money(g.price_factor);
    constexpr money most{1'000 * millionths_of_unit};
    if (!factor || *factor < money{} || *factor > most)
      problem(nullptr, at + "price_factor", "must be a number from 0 to 1000, as text, such as \"0.8\"");
    g.factor = factor.value_or(g.factor);
  }
}

// "NAME=MODEL" each.
std::vector<std::pair<std::string, std::string>> loader::pairs(const std::vector<std::string>& list,
                                                               const std::string& key) {
  std::vector<std::pair<std::string, std::string>> both;
  for (const std::string& text : list) {
    const auto equals = text.find('=');
    const std::string name(trim(std::string_view(text).substr(0, equals)));
    const std::string model(equals == text.npos ? "" : trim(std::string_view(text).substr(equals + 1)));
    if (name.empty() || model.empty())
      problem(nullptr, key, "'" + text + "' must be NAME=MODEL");
    else
      both.emplace_back(name, model);
  }
  return both;
}

void loader::check_models() {
  model_names names{pairs(out.value.models.aliases, "models.aliases"),
                    pairs(out.value.models.defaults, "models.defaults")};
  for (const auto& [kind, model] : names.defaults) {
    if (!families().has_action(kind)) problem(nullptr, "models.defaults", "'" + kind + "' is no kind of job");
  }
  for (upstream_config& u : out.value.upstreams) u.names = names;
  out.value.models.names = std::move(names);
}

void loader::check() {
  check_listen(out.value.server.listen, "server.listen");
  if (!out.value.admin.listen.empty()) check_listen(out.value.admin.listen, "admin.listen");
  if (const auto at = parse_listen(out.value.admin.listen);
      at && at->port != 0 && out.value.admin.listen == out.value.server.listen)
    problem(nullptr, "admin.listen",
            "is the address of server.listen; give it another port, or leave it empty");
  if (out.value.storage.path.empty()) problem(nullptr, "storage.path", "must not be empty");
  if (!out.value.server.public_url.empty()) {
    if (const auto url = parse_base_url(out.value.server.public_url); !url) {
      problem(nullptr, "server.public_url", url.error().message.text);
    }
  }
  if (const auto proxies = address_set::parse(out.value.server.trusted_proxies); !proxies)
    problem(nullptr, "server.trusted_proxies", proxies.error().message.text);
  for (const std::string& s : out.value.dns.servers) {
    if (const auto at = parse_name_server(s); !at)
      problem(nullptr, "dns.servers", "'" + s + "' " + at.error().message.text);
  }
  std::size_t keys = 0;
  for (const upstream_config& u : out.value.upstreams) keys += one_for_each_key(u).size();
  if (keys > max_lanes)
    problem(nullptr, "upstream", "there are more than " + std::to_string(max_lanes) + " upstreams and keys");
  if (out.value.upstreams.empty()) {
    problem(nullptr, "upstream", "there is no [[upstream]]; add one with name, url and key");
  }
  check_models();
  check_billing();
  if (!out.value.alerts.url.empty() && !parse_web_address(out.value.alerts.url.reveal()))
    problem(nullptr, "alerts.url", "must be an http or https URL");
  std::set<std::string> names;
  for (std::size_t i = 0; i < out.value.upstreams.size(); ++i) {
    check_upstream(out.value.upstreams[i], i + 1);
    if (!names.insert(out.value.upstreams[i].name).second) {
      problem(nullptr, "upstream." + std::to_string(i + 1) + ".name", "two upstreams have this name");
    }
  }
}

}  // namespace

bool valid_upstream_name(std::string_view name) {
  return name.size() <= 64 && is_word(name, "-_.");
}

std::string to_string(const config_problem& p) {
  std::string text = p.where;
  if (!p.key.empty()) text += (text.empty() ? "" : ": ") + p.key;
  return text + (text.empty() ? "" : ": ") + p.message;
}

loaded_config load_config(std::string_view text, std::string_view file, const env_lookup& env) {
  loader l(file, env);
  l.read_file(text);
  const bool readable = l.out.problems.empty() || !l.out.problems.front().key.empty();
  l.read_environment();
  if (readable) l.check();
  return std::move(l.out);
}

}  // namespace relay
