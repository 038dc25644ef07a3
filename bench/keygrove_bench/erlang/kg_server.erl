%% The server of every workload: a counter, an echo, and something to crash.
-module(kg_server).
-behaviour(gen_server).
-export([start_link/1, init/1, handle_call/3, handle_cast/2]).

start_link(Watcher) -> gen_server:start_link(?MODULE, Watcher, []).

%% A watcher is told when the incarnation is up; none costs nothing.
init(none) -> {ok, 0};
init(Watcher) ->
    Watcher ! {up, self(), erlang:monotonic_time(nanosecond)},
    {ok, 0}.

handle_call({ping, I}, _, Count) -> {reply, I, Count};
handle_call(count, _, Count) -> {reply, Count, Count}.

handle_cast({inc, By}, Count) -> {noreply, Count + By};
handle_cast({crash, Watcher}, _) ->
    Watcher ! {raised, erlang:monotonic_time(nanosecond)},
    error(crash).
