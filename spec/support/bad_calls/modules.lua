--- Calls of modules, losses, schedulers and samplers that must be refused; rows as in training.lua.
-- luacheck: no max line length
return {
  { "modules given what is no tensor",
    { [[torch.nn.BatchNorm1d(3)(nil)]], "BatchNorm1d()", "argument 'input' (position 1) must be Tensor, not nil" },
    { [[torch.nn.BatchNorm2d(3)({1, 2})]], "BatchNorm2d()", "argument 'input' (position 1) must be Tensor, not table" },
    { [[torch.nn.InstanceNorm3d(3)(4)]], "InstanceNorm3d()", "argument 'input' (position 1) must be Tensor, not integer" },
    { [[torch.nn.Softmin(1)(nil)]], "softmin()", '"input", which must be Tensor' },
    { [[torch.nn.Softmin(1)("a")]], "softmin()", "argument 'input' (position 1) must be Tensor, not string" },
    { [[torch.nn.Softmax2d()(nil)]], "Softmax2d()", "argument 'input' (position 1) must be Tensor, not nil" },
    { [[torch.nn.Flatten()(nil)]], "flatten()", '"input", which must be Tensor' },
    { [[torch.nn.NLLLoss()(x, nil)]], "nll_loss()", "argument 'target' (position 2) must be Tensor, not nil" },
    { [[torch.nn.NLLLoss()(x, {1, 2})]], "nll_loss()", "argument 'target' (position 2) must be Tensor, not table" },
    { [[torch.nn.CrossEntropyLoss()(x, 1)]], "cross_entropy()", "argument 'target' (position 2) must be Tensor, not number" },
    { [[torch.nn.CrossEntropyLoss()(nil, x)]], "cross_entropy()", "argument 'input' (position 1) must be Tensor, not nil" },
  },
  { "names that no form of a call takes",
    { [[F.conv2d(x, x, {strides = 2})]], "conv2d()", "invalid combination of arguments - got (Tensor, Tensor, strides=number), but" },
    { [[torch.max(x, {dm = x})]], "max()", "got (Tensor, dm=Tensor), but expected one of" },
    { [[F.conv2d({a = true})]], "conv2d()", "got (a=boolean), but expected one of" },
    { [[F.conv2d(x, x, {1})]], "conv2d()", "got (Tensor, Tensor, table), but expected one of" },
    { [[F.conv2d(x, x, {[("q"):rep(400)] = 2})]], "conv2d()", "got (Tensor, Tensor, table), but expected one of" },
  },
  { "optimisers and schedulers",
    { [[torch.optim.Optimizer({torch.ones(1)}, {}):step()]], "Optimizer.step()", "NotImplementedError", "update(" },
    { [[local p = nn.Parameter(torch.ones(2)); p.grad = torch.ones(2)
local o = torch.optim.SGD({p}, 0.1); o.param_groups[1].lr = "a"; o:step()]],
      "a hyper-parameter of a param_group must be a number, not string" },
    { [[local o = torch.optim.SGD({nn.Parameter(torch.ones(2))}, 0.1)
torch.optim.lr_scheduler.LambdaLR(o, function() end)]], "LambdaLR()", "lr_lambda must return a number", "group 1 and epoch 0 it returned nil" },
    { [[local o = torch.optim.SGD({nn.Parameter(torch.ones(2))}, 0.1)
torch.optim.lr_scheduler.LambdaLR(o, function() return "a" end)]], "LambdaLR()", "it returned string" },
    { [[local o = torch.optim.SGD({nn.Parameter(torch.ones(2))}, 0.1)
torch.optim.lr_scheduler.StepLR(o, 1):step("a")]], "StepLR.step()", "argument 'epoch' (position 1) must be a number, not string" },
    { [[local o = torch.optim.SGD({nn.Parameter(torch.ones(2))}, 0.1)
torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(o, 1):step(x)]], "CosineAnnealingWarmRestarts.step()", "must be a number, not Tensor" },
  },
  { "data",
    { [[torch.utils.data.RandomSampler(3)]], "RandomSampler()", "argument 'data_source' (position 1) must be a dataset, an array or a Tensor, not integer" },
    { [[torch.utils.data.SequentialSampler()]], "SequentialSampler()", "must be a dataset, an array or a Tensor, not nil" },
    { [[torch.utils.data.SequentialSampler(print)]], "SequentialSampler()", "must be a dataset, an array or a Tensor, not function" },
    { [[torch.utils.data.SubsetRandomSampler(3)]], "SubsetRandomSampler()", "argument 'indices' (position 1) must be an array of positions, not integer" },
    { [[torch.utils.data.random_split(3, {1, 2})]], "random_split()", "expected a dataset at position 1, but got integer" },
    { [[torch.utils.data.random_split({1, 2, 3}, {1.5, 1.5})]], "random_split()", "length 1 is no size: 1.5" },
  },
}
