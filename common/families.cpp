#include "common/families.hpp"

#include "common/luma/family.hpp"

namespace relay {

const catalogue& families() {
  static const catalogue all{&luma::family};
  return all;
}

}  // namespace relay
