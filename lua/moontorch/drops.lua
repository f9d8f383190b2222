--- What functions that drop values were last told, for whoever looks for a forgotten eval() or train().
--
-- `passed`: one that drops in training has passed everything, with gradients on, since this was last set to false.
-- `asked`: the one that drops now was told to by an argument.
return { passed = false, asked = false }
