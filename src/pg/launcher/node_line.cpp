/*
 * node_line.cpp: how people name a node, and what a node says of its environment.
 *
 * A node is described by one line, "name@host:port/ed25519:BASE64", which its owner sends to the founder by any channel
 * that keeps it unchanged: it holds no secret. What is checked here is only its form.
 */
#include <charconv>

#include "dadbs/core/chain.h"
#include "dadbs/pg/boundary.h"
#include "dadbs/pg/errors.h"
#include "dadbs/pg/member.h"
#include "dadbs/pg/version.h"

extern "C" {
#include "catalog/pg_collation.h"
#include "common/base64.h"
#include "utils/pg_locale.h"
}

namespace dadbs::pg {
namespace {

constexpr std::string_view kKeyPrefix = "ed25519:";
constexpr size_t kNameBytesMax = NAMEDATALEN - 1;
constexpr size_t kHostBytesMax = 240;
constexpr int kKeyTextBytes = 44;  // 32 bytes in base64

[[noreturn]] void Fail(std::string_view line, const char* detail) {
  throw PgError(ERRCODE_INVALID_PARAMETER_VALUE, "invalid description of a node: \"" + std::string(line) + "\"", detail,
                "It reads name@host:port/ed25519:KEY; dadbs.describe_node(name, 'host:port') on that node shows it.");
}

bool IsNameCharacter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.';
}

bool IsName(std::string_view name) {
  if (name.empty() || name.size() > kNameBytesMax) return false;
  for (char c : name)
    if (!IsNameCharacter(c)) return false;
  return true;
}

// "host:port", "[::1]:port".
bool SplitHostPort(std::string_view address, std::string* host, uint16_t* port) {
  size_t const colon = address.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return false;
  std::string_view h = address.substr(0, colon);
  std::string_view const p = address.substr(colon + 1);
  bool const bracketed = h.size() > 2 && h.front() == '[' && h.back() == ']';
  if (bracketed) h = h.substr(1, h.size() - 2);
  if (h.size() > kHostBytesMax) return false;
  for (char c : h)
    if (!IsNameCharacter(c) && !(bracketed && (c == ':' || c == '%'))) return false;
  auto const [end, error] = std::from_chars(p.data(), p.data() + p.size(), *port);
  if (error != std::errc{} || end != p.data() + p.size() || *port == 0) return false;
  host->assign(h);
  return true;
}

bool ParseKey(std::string_view text, core::PublicKey* key) {
  if (!text.starts_with(kKeyPrefix)) return false;
  text.remove_prefix(kKeyPrefix.size());
  if (text.size() != kKeyTextBytes) return false;
  char decoded[kKeyTextBytes];
  int const n = pg_b64_decode(text.data(), kKeyTextBytes, decoded, sizeof(decoded));
  if (n != static_cast<int>(core::PublicKey::kSize)) return false;
  memcpy(key->bytes.data(), decoded, core::PublicKey::kSize);
  return FormatKey(*key).substr(kKeyPrefix.size()) == text;  // one spelling of each key
}

}  // namespace

std::string FormatKey(const core::PublicKey& key) {
  char encoded[kKeyTextBytes + 1];
  int const n =
      pg_b64_encode(reinterpret_cast<const char*>(key.bytes.data()), core::PublicKey::kSize, encoded, sizeof(encoded));
  DADBS_CHECK(n == kKeyTextBytes);
  return std::string(kKeyPrefix) + std::string(encoded, static_cast<size_t>(n));
}

std::string FormatNodeLine(const core::Member& member) {
  return member.name + "@" + member.address + "/" + FormatKey(member.key);
}

core::Member ParseNodeLine(std::string_view line, bool want_key) {
  while (!line.empty() && isspace(static_cast<unsigned char>(line.front()))) line.remove_prefix(1);
  while (!line.empty() && isspace(static_cast<unsigned char>(line.back()))) line.remove_suffix(1);
  size_t const at = line.find('@');
  if (at == std::string_view::npos) Fail(line, "There is no \"@\" behind a name.");
  if (!IsName(line.substr(0, at))) Fail(line, "A name holds only letters, digits, \"_\", \"-\" and \".\", 63 at most.");
  size_t const slash = line.find('/', at);
  core::Member member;
  member.name = line.substr(0, at);
  member.address = line.substr(at + 1, slash == std::string_view::npos ? slash : slash - at - 1);
  std::string host;
  uint16_t port = 0;
  if (!SplitHostPort(member.address, &host, &port))
    Fail(line, "Behind the \"@\" stands host:port, with a port between 1 and 65535.");
  if (slash == std::string_view::npos) {
    if (want_key) Fail(line, "The public key is missing.");
    return member;
  }
  if (!ParseKey(line.substr(slash + 1), &member.key)) Fail(line, "The public key is not 32 bytes in base64.");
  return member;
}

void SplitAddress(const std::string& address, std::string* host, uint16_t* port) {
  if (!SplitHostPort(address, host, port))
    throw PgError(ERRCODE_INVALID_PARAMETER_VALUE, "invalid address: \"" + address + "\"",
                  "It reads host:port, with a port between 1 and 65535.");
}

Environment ComputeEnvironment(const MemberConfig& config) {
  const DatabaseFacts& facts = config.facts;
  Environment env;
  env.emplace_back("server_version", std::to_string(PG_VERSION_NUM / 10000));
  env.emplace_back("rules", std::to_string(kRulesVersion));
  env.emplace_back("encoding", facts.encoding);
  env.emplace_back("locale_provider", facts.provider);
  env.emplace_back("collation", facts.collate);
  env.emplace_back("ctype", facts.ctype);
  if (!facts.icu_locale.empty()) env.emplace_back("icu_locale", facts.icu_locale);
  char const provider = facts.provider == "icu" ? COLLPROVIDER_ICU : COLLPROVIDER_LIBC;
  const char* const locale = provider == COLLPROVIDER_ICU ? facts.icu_locale.c_str() : facts.collate.c_str();
  const char* const version =
      Call([&] { return const_cast<const char*>(get_collation_actual_version(provider, locale)); });
  env.emplace_back("collation_version", version == nullptr ? "none" : version);
  env.emplace_back("block_size", std::to_string(BLCKSZ));
  env.emplace_back("name_length", std::to_string(NAMEDATALEN));
  // Names may begin with it, and others than the own one are errors: in definitions, in functions and contracts, when they are executed.
  env.emplace_back("database", config.database_name);
  return env;
}

std::string DescribeDifference(const Environment& here, const Environment& there) {
  auto const find = [](const Environment& env, const std::string& name) -> std::string {
    for (const auto& [n, value] : env)
      if (n == name) return value;
    return "not set";
  };
  std::string text;
  auto const compare = [&](const std::string& name) {
    std::string const mine = find(here, name), theirs = find(there, name);
    if (mine == theirs) return;
    text += (text.empty() ? "" : "; ") + name + " is " + mine + " here and " + theirs + " there";
  };
  for (const auto& [name, value] : here) compare(name);
  for (const auto& [name, value] : there)
    if (find(here, name) == "not set") compare(name);
  return text;
}

}  // namespace dadbs::pg
