#pragma once

// The APIs as OpenAPI 3.1 documents, made of the route tables, and the page that shows them. Pure.

#include <string>
#include <string_view>

#include "server/route.hpp"

namespace relay {

/// Of the admin API: what its shapes check is what is said here.
json::object openapi_of_admin();
/// Of the public API. `table`: its routes.
json::object openapi_of_public(const route_table& table);

/// The page, which asks for /openapi.json and for the script.
std::string_view docs_page();
/// The script, compressed by gzip.
std::string_view docs_script_gzip();

}  // namespace relay
