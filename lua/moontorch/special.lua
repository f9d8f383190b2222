--- torch.special: mathematical functions under SciPy's names. Many are functions of torch too; the others are the
-- core's inner operators. Integers become the default float dtype.

local core = require "moontorch.core"

local special = {}

-- Name here, and name in the core where that is another one.
local NAMES = {
  digamma = true, psi = "digamma", gammaln = "lgamma", polygamma = true, multigammaln = "mvlgamma", zeta = true,
  erf = true, erfc = true, erfinv = true, erfcx = true, ndtr = true, ndtri = true, log_ndtr = true,
  exp2 = true, expm1 = true, log1p = true, expit = "sigmoid", logit = true, xlogy = true, xlog1py = true, entr = true,
  sinc = true, round = true, logsumexp = true, softmax = true, log_softmax = true,
  i0 = true, i0e = true, i1 = true, i1e = true,
}
for name, other in pairs(NAMES) do
  local of = other == true and name or other
  special[name] = core[of] or core["_" .. of]
end

return special
