/* Schemas: the text of an OpDef's schema, parsed once into what calls and the binding read. */
#include "base/alloc.h"
#include "graph/op.h"
#include <ctype.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#if defined(__APPLE__)
extern OpDef *const ops_begin[] __asm("section$start$__DATA$mt_ops");
extern OpDef *const ops_end[] __asm("section$end$__DATA$mt_ops");
#else
extern OpDef *const ops_begin[] __asm("__start_mt_ops");
extern OpDef *const ops_end[] __asm("__stop_mt_ops");
#endif

static const struct {
  const char *name;
  uint8_t type;
} type_names[] = {{"Tensor[]", TYPE_TENSORS},  {"Tensor", TYPE_TENSOR},   {"Operand", TYPE_OPERAND},
                  {"Index", TYPE_INDEX},       {"Numbers", TYPE_NUMBERS}, {"Number", TYPE_NUMBER},
                  {"ints", TYPE_INTS},         {"int", TYPE_INT},         {"float", TYPE_FLOAT},
                  {"bool", TYPE_BOOL},         {"str", TYPE_STR},         {"dtype", TYPE_DTYPE},
                  {"device", TYPE_DEVICE},     {"Dims", TYPE_DIMS},       {"Dim", TYPE_DIM},
                  {"Position", TYPE_POSITION}, {"Size", TYPE_SIZE},       {"Generator", TYPE_GENERATOR}};

static void skip_space(const char **p) {
  while (**p == ' ' || **p == '\n') (*p)++;
}

static bool take(const char **p, const char *word) {
  skip_space(p);
  size_t n = strlen(word);
  if (strncmp(*p, word, n) != 0) return false;
  *p += n;
  return true;
}

static bool take_name(const char **p, char *name) {
  skip_space(p);
  int n = 0;
  while ((isalnum((unsigned char)**p) || **p == '_') && n < MAX_NAME - 1) name[n++] = *(*p)++;
  name[n] = 0;
  return n > 0;
}

/* Defaults: None, True, False, numbers, 'strings'. Strings point into the schema's text up to the quote, so they are
 * copied into `names`, which lives as long as the schema. */
static bool take_default(const char **p, Param *param) {
  Arg *a = &param->standard;
  skip_space(p);
  param->has_default = true;
  if (take(p, "None")) {
    param->optional = true;
    return true;
  }
  if (take(p, "True") || take(p, "False")) {
    bool yes = (*p)[-1] == 'e' && (*p)[-2] == 'u';
    if (param->type == TYPE_NUMBER || param->type == TYPE_FLOAT)
      a->number = scalar_bool(yes);
    else
      a->i = yes;
    return true;
  }
  if (**p == '\'') {
    const char *end = strchr(*p + 1, '\'');
    size_t n = (size_t)(end - *p - 1);
    char *copy = mem_alloc(n + 1);
    if (!copy) return false;
    memcpy(copy, *p + 1, n);
    copy[n] = 0;
    a->str = copy;
    *p = end + 1;
    return true;
  }
  char *end;
  double d = strtod(*p, &end);
  bool integral = true;
  for (const char *q = *p; q < end; q++) integral &= *q != '.' && *q != 'e' && *q != 'n' && *q != 'f';
  if (param->type == TYPE_FLOAT)
    a->number = scalar_float(d);
  else if (param->type == TYPE_NUMBER)
    a->number = integral ? scalar_int((int64_t)d) : scalar_float(d);
  else
    a->i = (int64_t)d;
  *p = end;
  return true;
}

static bool take_param(const char **p, Param *param) {
  skip_space(p);
  size_t types = sizeof type_names / sizeof *type_names;
  size_t t = 0;
  while (t < types && !take(p, type_names[t].name)) t++;
  if (t == types) return false;
  param->type = type_names[t].type;
  if (param->type == TYPE_DTYPE) param->standard.dtype = MT_NO_DTYPE;
  if (take(p, "?")) param->optional = true;
  if (take(p, "...")) param->varargs = true;
  if (!take_name(p, param->name)) return false;
  if (take(p, "=")) return take_default(p, param);
  param->has_default = param->optional;
  return true;
}

static bool take_returns(const char **p, Schema *s) {
  s->returns = 't';
  if (take(p, "Tensor[]")) return s->returns = 'l', true;
  if (take(p, "bool")) return s->returns = 'b', true;
  if (take(p, "Number")) return s->returns = 'n', true;
  if (take(p, "None")) return s->returns = 'v', true;
  if (!take(p, "(")) {
    s->outs = 1;
    s->out_index[0] = take(p, "Index");
    return s->out_index[0] || take(p, "Tensor");
  }
  do {
    if (s->outs == MAX_OUTS) return false;
    s->out_index[s->outs] = take(p, "Index");
    if (!s->out_index[s->outs] && !take(p, "Tensor")) return false;
    take(p, "?");
    if (!take_name(p, s->out_name[s->outs++])) return false;
  } while (take(p, ","));
  return take(p, ")");
}

static int param_named(const Schema *s, const char *name) {
  for (int i = 0; i < s->params; i++)
    if (strcmp(s->param[i].name, name) == 0) return i;
  return -1;
}

/* "input: other result; other: input": sources of each gradient. "result" and "result2", ... are results. */
static bool parse_saves(const char *p, Schema *s) {
  while (p && *p) {
    char name[MAX_NAME];
    if (!take_name(&p, name)) return false;
    int of = param_named(s, name);
    if (of < 0 || !take(&p, ":")) return false;
    while (take_name(&p, name)) {
      int k = param_named(s, name);
      if (k >= 0)
        s->save_in[of] |= 1u << k;
      else if (strncmp(name, "result", 6) == 0)
        s->save_out[of] |= 1u << (name[6] ? name[6] - '1' : 0);
      else
        return false;
      skip_space(&p);
    }
    if (!take(&p, ";")) break;
  }
  return true;
}

static bool parse(OpDef *def) {
  Schema *s = mem_zero(sizeof *s);
  if (!s) return false;
  def->info = s;
  const char *p = def->schema;
  bool keyword_only = false, good = take_name(&p, s->name) && take(&p, "(");
  s->positional = -1;
  while (good && !take(&p, ")")) {
    if (s->params > 0 || keyword_only) good = take(&p, ",");
    if (good && take(&p, "*")) {
      keyword_only = true;
      s->positional = s->params;
      continue;
    }
    if (good && (good = s->params < MAX_PARAMS)) {
      s->param[s->params].keyword_only = keyword_only;
      good = take_param(&p, &s->param[s->params++]);
    }
  }
  if (s->positional < 0) s->positional = s->params;
  s->requires_grad = param_named(s, "requires_grad");
  s->plain = true;
  for (int k = 0; k < s->params; k++) {
    bool tensor = s->param[k].type <= TYPE_TENSORS;
    if (tensor) s->tensors = k + 1;
    s->lists |= s->param[k].type == TYPE_TENSORS;
  }
  for (int k = 0; k < s->params; k++) {
    s->plain &= k < s->tensors ? s->param[k].type < TYPE_TENSORS && k < s->positional : s->param[k].has_default;
    if (k < s->tensors && !s->param[k].has_default) s->least = k + 1;
  }
  good = good && take(&p, "->") && take_returns(&p, s) && parse_saves(def->saves, s);
  if (!good && !failed()) fail(MT_ERUNTIME, "schema of '%s' cannot be read near '%s'", def->schema, p);
  return good;
}

static OpDef **table;
static int count;
static bool loaded;

static int by_name(const void *a, const void *b) {
  const OpDef *x = *(OpDef *const *)a, *y = *(OpDef *const *)b;
  int order = strcmp(x->info->name, y->info->name);
  return order ? order : x->line - y->line;
}

static void load(void) {
  count = (int)(ops_end - ops_begin);
  table = mem_alloc(sizeof *table * (size_t)count);
  if (!table) return;
  for (int i = 0; i < count; i++) {
    table[i] = ops_begin[i];
    if (!parse(table[i])) return;
  }
  qsort(table, (size_t)count, sizeof *table, by_name);
  loaded = true;
}

bool ops_load(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, load);
  return loaded || fail(MT_ERUNTIME, "the table of operators could not be loaded");
}

int ops_count(void) { return count; }
OpDef *ops_at(int i) { return table[i]; }
