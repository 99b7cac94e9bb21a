// Everything a person reads about the configuration, made from the one table.

#include "config/fields.hpp"
#include "config/load.hpp"

namespace relay {
namespace {

// A duration or a number shows its range, a choice its words.
template <class Owner>
std::string allowed(const basic_field<Owner>& f, const field_target& at) {
  if (!f.choices.empty()) {
    std::string text;
    for (const std::string_view c : f.choices) text += (text.empty() ? "" : ", ") + std::string(c);
    return text;
  }
  if (std::holds_alternative<std::int64_t*>(at) || std::holds_alternative<milliseconds*>(at)) {
    return std::to_string(f.min) + " to " + std::to_string(f.max);
  }
  if (std::holds_alternative<bool*>(at)) return "true, false";
  if (std::holds_alternative<std::vector<std::string>*>(at)) return "list of text";
  if (std::holds_alternative<std::vector<milliseconds>*>(at)) return "list of numbers";
  return "text";
}

template <class Owner>
std::string section(std::span<const basic_field<Owner>> table, Owner& from, std::string_view name,
                    bool comments) {
  std::string out;
  for (const basic_field<Owner>& f : table) {
    if (f.section != name) continue;
    if (comments) out += "# " + std::string(f.help) + "\n";
    out += std::string(f.key) + " = " + to_toml(f.at(from)) + "\n";
  }
  return out;
}

template <class Owner>
void rows(std::string& out, std::span<const basic_field<Owner>> table, Owner& defaults, bool is_list) {
  for (const basic_field<Owner>& f : table) {
    const std::string section(f.section);
    const std::string key(f.key);
    const std::string name = is_list ? "[[" + section + "]] " + key : section + "." + key;
    out += "| `" + name + "` | `" + to_toml(f.at(defaults)) + "` | " + allowed(f, f.at(defaults)) + " | " +
           std::string(f.help) + " |\n";
  }
}

// A section that may come several times, for the example file.
template <class Owner>
std::string commented(std::string_view what, std::span<const basic_field<Owner>> table) {
  Owner one;
  std::string out = "\n# " + std::string(what) + "\n# [[" + std::string(table.front().section) + "]]\n";
  for (const basic_field<Owner>& f : table)
    out += "# " + std::string(f.help) + "\n# " + std::string(f.key) + " = " + to_toml(f.at(one)) + "\n";
  return out;
}

std::vector<std::string_view> section_names() {
  std::vector<std::string_view> names;
  for (const field& f : fields()) {
    if (names.empty() || names.back() != f.section) names.push_back(f.section);
  }
  return names;
}

}  // namespace

std::string print_config(const config& c) {
  config copy = c;  // the table gives pointers that can be written through
  std::string out;
  for (const std::string_view name : section_names()) {
    out += "[" + std::string(name) + "]\n" + section<config>(fields(), copy, name, false) + "\n";
  }
  for (upstream_config& u : copy.upstreams) {
    out += "[[upstream]]\n" + section<upstream_config>(upstream_fields(), u, "upstream", false) + "\n";
    for (upstream_key_config& k : u.keys)
      out += "[[upstream.keys]]\n" + section<upstream_key_config>(key_fields(), k, "upstream.keys", false) +
             "\n";
    for (price_config& p : u.prices)
      out += "[[upstream.price]]\n" +
             section<price_config>(upstream_price_fields(), p, "upstream.price", false) + "\n";
  }
  for (price_config& p : copy.prices)
    out += "[[price]]\n" + section<price_config>(price_fields(), p, "price", false) + "\n";
  for (group_config& g : copy.groups)
    out += "[[group]]\n" + section<group_config>(group_fields(), g, "group", false) + "\n";
  if (out.ends_with("\n\n")) out.pop_back();
  return out;
}

std::string example_config() {
  config defaults;
  upstream_config upstream;
  std::string out =
      "# luma-relay: every key with its default. Only [[upstream]] has to be given.\n"
      "# Each key can be set from the environment too: LUMA_RELAY_SERVER_LISTEN, LUMA_RELAY_UPSTREAM_1_URL, "
      "…\n\n";
  out +=
      "[[upstream]]\n"
      "name = \"luma\"\n"
      "url = \"" +
      std::string(official_url) +
      "\"\n"
      "key_env = \"LUMAAI_API_KEY\"\n";
  for (const upstream_field& f : upstream_fields()) {
    out += "# " + std::string(f.help) + "\n# " + std::string(f.key) + " = " + to_toml(f.at(upstream)) + "\n";
  }
  out += commented<upstream_key_config>("More keys of the same upstream, each with limits of its own.",
                                        key_fields());
  out +=
      commented<price_config>("What it takes for a job; for the reports of costs.", upstream_price_fields());
  out += commented<price_config>("What accounts pay for a job. Without any, jobs are free.", price_fields());
  out += commented<group_config>("Accounts that pay more, or less, than others.", group_fields());
  for (const std::string_view name : section_names()) {
    out += "\n[" + std::string(name) + "]\n" + section<config>(fields(), defaults, name, true);
  }
  return out;
}

std::string reference_table() {
  config defaults;
  upstream_config upstream;
  std::string out = "| key | default | allowed | what it does |\n| --- | --- | --- | --- |\n";
  upstream_key_config one_key;
  rows<config>(out, fields(), defaults, false);
  rows<upstream_config>(out, upstream_fields(), upstream, true);
  rows<upstream_key_config>(out, key_fields(), one_key, true);
  price_config one_price;
  group_config one_group;
  rows<price_config>(out, upstream_price_fields(), one_price, true);
  rows<price_config>(out, price_fields(), one_price, true);
  rows<group_config>(out, group_fields(), one_group, true);
  return out;
}

}  // namespace relay
