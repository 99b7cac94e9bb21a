// luma-relay account topup, account adjust, ledger list, usage, price.

#include <cstdio>
#include <fstream>
#include <iostream>
#include <iterator>

#include "common/base/json_arena.hpp"
#include "common/base/text.hpp"
#include "common/families.hpp"
#include "server/billing.hpp"
#include "server/cli/admin_client.hpp"
#include "server/cli/commands.hpp"
#include "server/cli/config_file.hpp"

namespace relay::cli {
namespace {

const json::array& rows_of(const json::object& response, std::string_view key) {
  static const json::array none;
  const json::value* rows = member(response, key);
  return rows != nullptr && rows->is_array() ? rows->get_array() : none;
}

std::optional<std::string> text_of_file(const std::string& file) {
  if (file == "-") return std::string{std::istreambuf_iterator<char>(std::cin), {}};
  std::ifstream in(file);
  if (!in) return std::nullopt;
  return std::string{std::istreambuf_iterator<char>(in), {}};
}

// In the first dialect that understands it; else what the first one says of it.
result<new_task> understand(const json::value& body, const action& a) {
  std::optional<error> refused;
  for (const dialect* d : families().dialects_that_create()) {
    auto parsed = d->parse_create(body, a, "");
    if (parsed) return parsed;
    if (!refused) refused = std::move(parsed.error());
  }
  return std::unexpected(std::move(*refused));
}

// A table with as many columns as its rows have members, each as wide as its widest text.
void print_table(const json::array& rows) {
  std::vector<std::string> names;
  std::vector<std::size_t> widths;
  std::vector<std::vector<std::string>> lines;
  for (const json::value& row : rows) {
    auto& line = lines.emplace_back();
    for (const auto& [key, value] : row.as_object()) {
      if (lines.size() == 1) names.emplace_back(key);
      line.push_back(value.is_string() ? for_log(view(value.get_string())) : json::serialize(value));
    }
  }
  lines.insert(lines.begin(), names);
  widths.resize(names.size());
  for (const auto& line : lines) {
    for (std::size_t i = 0; i < line.size(); ++i) widths[i] = std::max(widths[i], line[i].size());
  }
  for (const auto& line : lines) {
    std::string out;
    for (std::size_t i = 0; i < line.size(); ++i) {
      out += line[i];
      if (i + 1 < line.size()) out.append(widths[i] - line[i].size() + 2, ' ');
    }
    std::cout << out << "\n";
  }
}

}  // namespace

int account_money(const std::string& config_file, const std::string& command, const std::string& name,
                  const std::string& amount, const std::string& note) {
  int status = 0;
  const admin_request request{verb::post,
                              "/accounts/" + encoded(name) + "/" + command,
                              {{"amount", json::string(amount)}, {"note", json::string(note)}}};
  const auto response = call_admin(config_file, request, status);
  if (!response) return status;
  std::cerr << "The balance of \"" << name << "\" is " << text_of(*response, "balance_after") << " "
            << text_of(*response, "currency") << " now, of which " << text_of(*response, "left")
            << " can be spent.\n";
  return 0;
}

int ledger_list(const std::string& config_file, const ledger_options& o) {
  int status = 0;
  const std::string query = query_of({{"account", o.account},
                                      {"job", o.job},
                                      {"cursor", o.before > 0 ? std::to_string(o.before) : ""},
                                      {"limit", std::to_string(o.limit)}});
  const auto response = call_admin(config_file, {verb::get, "/ledger" + query}, status);
  if (!response) return status;
  if (o.as_json) {
    std::cout << json::serialize(*response) << "\n";
    return 0;
  }
  const json::array& rows = rows_of(*response, "items");
  if (rows.empty()) {
    std::cerr << "The ledger has no such row.\n";
    return 0;
  }
  std::printf("%-8s  %-24s  %-20s  %-7s  %14s  %14s  %14s  %s\n", "ID", "AT", "ACCOUNT", "KIND", "AMOUNT",
              "HELD", "BALANCE AFTER", "JOB OR NOTE");
  const auto text = [](const json::object& r, std::string_view key) { return std::string(text_of(r, key)); };
  for (const json::value& item : rows) {
    const json::object& r = item.as_object();
    const std::string job = text(r, "job");
    std::printf("%-8lld  %-24s  %-20s  %-7s  %14s  %14s  %14s  %s\n",
                static_cast<long long>(number_in(r, "id")), text(r, "at").c_str(), text(r, "account").c_str(),
                text(r, "kind").c_str(), text(r, "amount").c_str(), text(r, "held").c_str(),
                text(r, "balance_after").c_str(), (job.empty() ? for_log(text(r, "note")) : job).c_str());
  }
  return 0;
}

int usage(const std::string& config_file, const usage_options& o) {
  int status = 0;
  const std::string path = "/usage" + query_of({{"since", o.since},
                                                {"until", o.until},
                                                {"by", o.by},
                                                {"account", o.account},
                                                {"format", o.format == "csv" ? "csv" : ""}});
  if (o.format != "table") {
    const auto text = call_for_text(config_file, {verb::get, path}, status);
    if (!text) return status;
    std::cout << *text << (o.format == "json" ? "\n" : "");
    return 0;
  }
  const auto response = call_admin(config_file, {verb::get, path}, status);
  if (!response) return status;
  const json::array& rows = rows_of(*response, "rows");
  if (rows.empty()) {
    std::cerr << "No job ended from " << text_of(*response, "since") << " to " << text_of(*response, "until")
              << ".\n";
    return 0;
  }
  print_table(rows);
  std::cerr << "From " << text_of(*response, "since") << " to " << text_of(*response, "until")
            << ", days in UTC; amounts in " << text_of(*response, "currency") << ".\n";
  return 0;
}

int price(const std::string& config_file, const price_options& o) {
  const auto settings = read_config_of_database(config_file);
  if (!settings) return 2;
  const auto failed = [](std::string_view why) {
    std::cerr << "luma-relay: " << why << "\n";
    return 1;
  };
  const action* kind = families().find_action(o.action);
  if (kind == nullptr)
    return failed("\"" + o.action + "\" is no kind of job; there are " + families().action_names());
  const auto text = text_of_file(o.file);
  if (!text) return failed("cannot read " + o.file);
  json_arena memory;
  const auto body = parse_strict(*text, memory.storage());
  if (!body) return failed(body.error().message.text);
  const auto parsed = understand(*body, *kind);
  if (!parsed) return failed(parsed.error().message.text);
  const billing prices(*settings);
  if (!prices.knows_group(o.group)) return failed("there is no [[group]] \"" + o.group + "\"");
  const auto amount = prices.price_for(parsed->request, *kind, o.group);
  if (!amount) return failed(amount.error().message.text);
  const job_traits job = traits_of(parsed->request, *kind, settings->models.names);
  const auto or_none = [](const std::string& word) { return word.empty() ? std::string("none") : word; };
  std::cout << to_text(*amount) << " " << prices.currency() << "\n";
  std::cerr << "For the kind " << kind->name << ", model " << or_none(job.model) << ", resolution "
            << or_none(job.resolution) << ", duration " << or_none(job.duration) << ".\n";
  return 0;
}

}  // namespace relay::cli
