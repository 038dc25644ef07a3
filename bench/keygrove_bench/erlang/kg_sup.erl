%% The two supervisors measured: one permanent child, and any number of dynamic ones.
-module(kg_sup).
-behaviour(supervisor).
-export([start_link/1, init/1]).

start_link(Kind) -> supervisor:start_link(?MODULE, Kind).

init(dynamic) ->
    {ok, {#{strategy => simple_one_for_one},
          [#{id => child, start => {kg_server, start_link, []}}]}};
init({one, Watcher}) ->
    {ok, {#{strategy => one_for_one, intensity => 1000000, period => 1},
          [#{id => child, start => {kg_server, start_link, [Watcher]}}]}}.
