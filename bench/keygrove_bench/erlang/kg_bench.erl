%% Erlang's side of `python -m keygrove_bench actors`: runs a workload once for each line
%% "go" on standard input, and answers with names and numbers on one line.
-module(kg_bench).
-export([main/1]).

main([Name | Arguments]) ->
    process_flag(trap_exit, true),
    logger:set_primary_config(level, none),
    Work = work(Name, Arguments),
    serve(Work).

serve(Work) ->
    case io:get_line("") of
        "go\n" ->
            io:format("~s~n", [lists:join(" ", [[Key, " ", io_lib:format("~.6g", [float(Value)])]
                                                || {Key, Value} <- Work()])]),
            serve(Work);
        _ -> halt(0)
    end.

%% The workload, with its sizes.
work("cast", [N]) -> fun() -> cast(number(N)) end;
work("call", [N]) -> fun() -> call(number(N)) end;
work("callers", [Callers, Each]) -> fun() -> callers(number(Callers), number(Each)) end;
work("idle", [N]) -> fun() -> idle(number(N)) end;
work("spawn", [N]) -> fun() -> spawn_and_stop(number(N)) end;
work("restart", [N]) -> fun() -> restart(number(N)) end;
work("port", [Python, Script, One, Many]) ->
    fun() -> port([Python, Script], number(One), number(Many)) end;
work("ring", [Size, Hops]) -> fun() -> ring(number(Size), number(Hops)) end;
work("scale", [N]) -> fun() -> scale(number(N)) end.

number(Text) -> list_to_integer(Text).

now_ns() -> erlang:monotonic_time(nanosecond).

rate(Count, Start) -> [{"rate", Count * 1.0e9 / (now_ns() - Start)}].

times(0, _) -> ok;
times(N, Function) -> Function(N), times(N - 1, Function).

%% W1: casts to one server, then a call that shows them all handled.
cast(N) ->
    {ok, Server} = kg_server:start_link(none),
    Start = now_ns(),
    casts(N, Server),
    N = gen_server:call(Server, count, infinity),
    Result = rate(N, Start),
    gen_server:stop(Server),
    Result.

casts(0, _) -> ok;
casts(N, Server) -> gen_server:cast(Server, {inc, 1}), casts(N - 1, Server).

%% W2: calls, one after the other.
call(N) ->
    {ok, Server} = kg_server:start_link(none),
    Start = now_ns(),
    calls(N, Server),
    Result = rate(N, Start),
    gen_server:stop(Server),
    Result.

calls(0, _) -> ok;
calls(N, Server) -> N = gen_server:call(Server, {ping, N}, 5000), calls(N - 1, Server).

%% W3: many callers of one server at once.
callers(Callers, Each) ->
    {ok, Server} = kg_server:start_link(none),
    Start = now_ns(),
    Pids = [spawn_monitor(fun() -> calls(Each, Server) end) || _ <- lists:seq(1, Callers)],
    [receive {'DOWN', Ref, process, _, normal} -> ok end || {_, Ref} <- Pids],
    Result = rate(Callers * Each, Start),
    gen_server:stop(Server),
    Result.

%% W5: what one idle process with one field of state takes.
idle(N) ->
    Pids = [spawn(fun() -> idle_loop(0) end) || _ <- lists:seq(1, N)],
    erlang:yield(),
    Bytes = lists:sum([element(2, process_info(Pid, memory)) || Pid <- Pids]),
    [exit(Pid, kill) || Pid <- Pids],
    [{"bytes", Bytes / N}].

idle_loop(State) -> receive {set, New} -> idle_loop(New); State -> ok end.

%% W6: dynamic children, started one by one, stopped together.
spawn_and_stop(N) ->
    Start = now_ns(),
    {ok, Sup} = kg_sup:start_link(dynamic),
    times(N, fun(_) -> {ok, _} = supervisor:start_child(Sup, [none]) end),
    stop(Sup),
    rate(N, Start).

stop(Sup) ->
    Ref = monitor(process, Sup),
    exit(Sup, shutdown),
    receive {'DOWN', Ref, process, Sup, _} -> ok end,
    receive {'EXIT', Sup, _} -> ok end.

%% W7: from the raise in a handler until the next incarnation has run its init.
restart(N) ->
    {ok, Sup} = kg_sup:start_link({one, self()}),
    First = receive {up, Pid, _} -> Pid end,
    Times = restarts(N, First, []),
    stop(Sup),
    quantiles(Times, [{"p50", 0.5}, {"p99", 0.99}]).

restarts(0, _, Times) -> Times;
restarts(N, Server, Times) ->
    gen_server:cast(Server, {crash, self()}),
    Raised = receive {raised, At} -> At end,
    {Next, Up} = receive {up, Pid, When} -> {Pid, When} end,
    restarts(N - 1, Next, [(Up - Raised) / 1000 | Times]).

quantiles(Times, Wanted) ->
    Sorted = list_to_tuple(lists:sort(Times)),
    Size = tuple_size(Sorted),
    [{Key, element(min(Size, 1 + trunc(Part * Size)), Sorted)} || {Key, Part} <- Wanted].

%% W10: an echo in another process, through a port; one message at a time, then 64.
port(Command, One, Many) ->
    [Program | Arguments] = Command,
    Port = open_port({spawn_executable, Program},
                     [{packet, 4}, binary, {args, ["-S", "-E" | Arguments]}]),
    Body = binary:copy(<<"x">>, 100),
    echo(Port, Body, 1),
    Start1 = now_ns(),
    times(One, fun(_) -> echo(Port, Body, 1) end),
    [{"rate", Single}] = rate(One, Start1),
    Start64 = now_ns(),
    times(Many div 64, fun(_) -> echo(Port, Body, 64) end),
    [{"rate", Windowed}] = rate(Many, Start64),
    port_close(Port),
    receive {'EXIT', Port, _} -> ok end,
    [{"one", Single}, {"many", Windowed}].

echo(Port, Body, Window) ->
    times(Window, fun(_) -> port_command(Port, Body) end),
    times(Window, fun(_) -> receive {Port, {data, Body}} -> ok end end).

%% W12: a message that goes round in a ring of processes.
ring(Size, Hops) ->
    Self = self(),
    Last = spawn(fun() -> ring_end(Self) end),
    Others = lists:foldl(fun(_, [Next | _] = Pids) -> [spawn(fun() -> hop(Next) end) | Pids] end,
                         [Last], lists:seq(2, Size)),
    Last ! {first, hd(Others)},
    Start = now_ns(),
    hd(Others) ! {hop, Hops},
    receive done -> ok end,
    Result = rate(Hops, Start),
    [exit(Pid, kill) || Pid <- Others],
    Result.

ring_end(Owner) -> receive {first, First} -> hop(First, Owner) end.

hop(Next) -> receive {hop, N} -> Next ! {hop, N - 1}, hop(Next) end.

hop(Next, Owner) ->
    receive
        {hop, N} when N =< 0 -> Owner ! done;
        {hop, N} -> Next ! {hop, N - 1}, hop(Next, Owner)
    end.

%% W100k: supervised servers started, called once each, and stopped.
scale(N) ->
    Start = now_ns(),
    {ok, Sup} = kg_sup:start_link(dynamic),
    Pids = [begin {ok, Pid} = supervisor:start_child(Sup, [none]), Pid end
            || _ <- lists:seq(1, N)],
    [1 = gen_server:call(Pid, {ping, 1}, 5000) || Pid <- Pids],
    stop(Sup),
    [{"seconds", (now_ns() - Start) / 1.0e9}].
